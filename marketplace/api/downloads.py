"""Whole tables as Parquet files, for readers that resume and for readers that pick their ranges."""

import base64
import re
from contextlib import ExitStack
from http import HTTPStatus

from litestar import HttpMethod, get, route
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from access_policies.vocabulary import Action
from catalogue.dataset import DataFile
from catalogue.errors import UnknownRelease
from marketplace.api.call import Call, Given, unless_gone
from marketplace.api.lanes import Lane
from marketplace.api.read_headers import read_headers
from marketplace.api.result_response import ResultResponse
from marketplace.api.selection import Selection, select
from marketplace.download import Downloads, OpenTable
from marketplace.engine.query.cancellation import Cancellation
from marketplace.errors import UnknownRecord
from marketplace.identity.principal import Principal
from marketplace.wire import TableFile, TableFiles

_PARQUET = "application/vnd.apache.parquet"
_TABLE = "/datasets/{organisation:str}/{dataset:str}/releases/{release:str}/tables/{table:str}"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@get(_TABLE, opt={"action": Action.DOWNLOAD}, sync_to_thread=True, tags=["Use"])
def list_files(
    organisation: FromPath[str],
    dataset: FromPath[str],
    release: FromPath[str],
    table: FromPath[str],
    principal: Given[Principal],
    downloads: Given[Downloads],
) -> TableFiles:
    """List the Parquet files that hold what the caller may have of a table.

    The release is a number, or `latest`. The answer names the release, so that its files are read
    under one number also when another is published meanwhile.
    """
    name = (organisation, dataset, table)
    with downloads.open(principal, name, _release(release)) as opened:
        return _listed(opened)


@route(
    f"{_TABLE}/{{file:str}}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt={"action": Action.DOWNLOAD},
    status_code=200,
    tags=["Use"],
    responses={
        200: ResponseSpec(bytes, media_type=_PARQUET, generate_examples=False),
        206: ResponseSpec(
            bytes,
            media_type=_PARQUET,
            generate_examples=False,
            description="The bytes that Range asks for.",
        ),
        304: ResponseSpec(None, description="The file is the one that If-None-Match names."),
    },
)
async def send_file(
    organisation: FromPath[str],
    dataset: FromPath[str],
    release: FromPath[str],
    table: FromPath[str],
    file: FromPath[str],
    request: Call,
    principal: Given[Principal],
    downloads: Given[Downloads],
    transfers: Given[Lane],
) -> ASGIResponse:
    """Send one Parquet file of a table, or the one range of bytes that the call asks for.

    Files are named `1.parquet`, `2.parquet` and so on. `ETag` is the file's SHA-256, also told as
    `Repr-Digest` (RFC 9530). `Range` with `If-Range` goes on where a transfer was cut;
    `If-None-Match` and `If-Match` are heeded. Every call is decided and recorded by itself.
    """
    name, number = (organisation, dataset, table), _file_number(file)
    with ExitStack() as held:
        held.enter_context(transfers.place(principal.person_id))
        cancellation = Cancellation()
        opening = transfers.run(
            downloads.open, principal, name, _release(release), cancellation=cancellation
        )
        opened = await unless_gone(request.receive, opening, cancellation)
        held.push(opened)
        found = opened.file(number)
        tag = f'"{found.sha256}"'
        selection = select(request.method, request.headers, tag=tag, size=found.bytes)
        headers = _headers(opened, found, number, selection)
        if request.method == HttpMethod.HEAD or selection.status is HTTPStatus.NOT_MODIFIED:
            return ASGIResponse(
                status_code=selection.status, headers=headers, is_head_response=True
            )
        return ResultResponse(
            opened.deliver(number, selection.part),
            status_code=selection.status,
            media_type=_PARQUET,
            headers=headers,
            lane=transfers,
            held=held.pop_all(),
        )


def _listed(opened: OpenTable) -> TableFiles:
    release, table = opened.reading.release, opened.reading.table
    dataset = release.dataset
    folder = f"/api/v1/datasets/{dataset.organisation}/{dataset.dataset}/releases"
    return TableFiles(
        table=str(dataset.table(table.name)),
        release=release.number,
        files=tuple(
            TableFile(
                path=f"{folder}/{release.number}/tables/{table.name}/{number}.parquet",
                sha256=file.sha256,
                bytes=file.bytes,
                rows=file.rows,
            )
            for number, file in enumerate(opened.files, 1)
        ),
    )


def _headers(
    opened: OpenTable, file: DataFile, number: int, selection: Selection
) -> dict[str, str]:
    part = selection.part
    headers = read_headers(opened) | {
        "ETag": f'"{file.sha256}"',
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
    }
    if selection.status is HTTPStatus.NOT_MODIFIED:
        return headers
    release = opened.reading.release
    table = release.dataset.table(opened.reading.table.name)
    headers |= {
        "Content-Type": _PARQUET,
        "Content-Length": str(len(part)),
        "Content-Disposition": f'attachment; filename="{table}-{release.number}-{number}.parquet"',
    }
    if selection.status is HTTPStatus.PARTIAL_CONTENT:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{file.bytes}"
    return headers


def _release(text: str) -> int | None:
    if text == "latest":
        return None
    if not _NUMBER.fullmatch(text):
        raise UnknownRelease(
            f"{text[:40]!r} is no release.", next_step="Name its number, or the newest as latest."
        )
    return int(text)


def _file_number(name: str) -> int:
    number = name.removesuffix(".parquet")
    if number == name or not _NUMBER.fullmatch(number):
        raise UnknownRecord(
            f"{name[:40]!r} is no file of a table.",
            next_step="Files are named 1.parquet, 2.parquet and so on; list them at the address of "
            "the table itself.",
        )
    return int(number)
