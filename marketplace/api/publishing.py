"""A publisher's file in, a release out: the body of the call is the file itself, read as a stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.message import Message
from pathlib import PurePosixPath
from typing import Annotated

from litestar import post
from litestar.di import Provide
from litestar.exceptions import LitestarException
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter

from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from catalogue.dataset import AccessRights, Classification, Handling
from connectors.errors import SourceInterrupted
from connectors.source import Fetched
from connectors.upload import Spool
from marketplace.api.call import Call, Given
from marketplace.api.content_digest import announced_sha256
from marketplace.api.descriptions import published_release
from marketplace.api.forms import audience_named
from marketplace.api.lanes import Lane
from marketplace.api.pace import Pace
from marketplace.bootstrap import Marketplace
from marketplace.engine.ingest.ingest_job import DateOrder, IngestOptions
from marketplace.errors import RequestMalformed
from marketplace.identity.principal import Principal
from marketplace.plain_text import check_lines, is_plain
from marketplace.publish import DatasetDetails
from marketplace.wire import PublishedRelease

# Small pieces from the socket are gathered, so that a large file costs few changes of thread.
_BLOCK_BYTES = 1024 * 1024
_Block = list[bytes]

# Lines and releases have smaller numbers; it is also the largest that every database knows.
_LARGEST_NUMBER = 2**31 - 1

_Table = Annotated[
    str | None,
    QueryParameter(description="The table to publish; the dataset's own name if left out."),
]
_FileName = Annotated[
    str | None,
    QueryParameter(description="What the file is called, where Content-Disposition is absent."),
]
_Parent = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The release this one builds on (0 for none): refused if another came first.",
    ),
]


_Line = Annotated[int | None, QueryParameter(ge=1, le=_LARGEST_NUMBER)]
_Digest = Annotated[
    str | None,
    HeaderParameter(
        name="Content-Digest",
        description="sha-256=:<base64>: of the file (RFC 9530): refused if another arrived.",
    ),
]


def ingest_options(
    encoding: FromQuery[str | None] = None,
    delimiter: FromQuery[str | None] = None,
    header_line: _Line = None,
    last_line: _Line = None,
    sheet: FromQuery[str | None] = None,
    date_order: FromQuery[DateOrder | None] = None,
    text_columns: FromQuery[list[str] | None] = None,
    sort: FromQuery[list[str] | None] = None,
) -> IngestOptions:
    """What the publisher says about the file where its own words are not clear enough."""
    columns, sorted_by = tuple(text_columns or ()), tuple(sort or ())
    _check_texts(encoding or "", delimiter or "", sheet or "", *columns, *sorted_by)
    return IngestOptions(
        encoding=encoding,
        delimiter=delimiter,
        header_line=header_line,
        last_line=last_line,
        sheet=sheet,
        date_order=date_order,
        text_columns=columns,
        sort=sorted_by,
    )


def dataset_details(
    title: FromQuery[str] = "",
    description: FromQuery[str] = "",
    licence: FromQuery[str] = "DATA_SHARE_AGREEMENT",
    access_rights: FromQuery[AccessRights] = AccessRights.INTERNAL,
    classification: FromQuery[Classification] = Classification.OFFICIAL,
    official_sensitive: FromQuery[bool] = False,
    handling: FromQuery[Handling | None] = None,
    visible_to: FromQuery[str] = "government",
) -> DatasetDetails:
    """How the dataset is described at its first release, and handled from this one on.

    Raises AboveOfficial before any of the file is taken in.
    """
    classification.check_taken()
    check_lines(title=title, licence=licence)
    _check_texts(description)
    return DatasetDetails(
        title=title,
        description=description,
        licence=licence,
        access_rights=access_rights,
        official_sensitive=official_sensitive,
        handling=handling,
        visible_to=audience_named(visible_to, "visible_to"),
    )


@post(
    "/datasets/{organisation:str}/{dataset:str}/releases",
    opt={"action": Action.PUBLISH},
    # The limit on a file is the operator's setting and is checked while it is received.
    request_max_body_size=None,
    tags=["Publish"],
    dependencies={
        "options": Provide(ingest_options, sync_to_thread=False),
        "details": Provide(dataset_details, sync_to_thread=False),
    },
)
async def publish_release(
    organisation: FromPath[str],
    dataset: FromPath[str],
    request: Call,
    principal: Given[Principal],
    marketplace: Given[Marketplace],
    uploads: Given[Lane],
    options: Given[IngestOptions],
    details: Given[DatasetDetails],
    parent: _Parent = None,
    digest: _Digest = None,
    table: _Table = None,
    filename: _FileName = None,
) -> PublishedRelease:
    """Publish the file in the body (CSV, Excel or Parquet) as the next release of a dataset.

    Nothing is kept of a file that does not arrive whole or is refused.
    """
    address = DatasetAddress(organisation, dataset).table(table or dataset)
    number = _release_number(parent)
    sha256 = announced_sha256(digest)
    spool = Spool(
        marketplace.scratch.path,
        name=_file_name(request, filename),
        limit=marketplace.settings.upload_limit,
        declared=request.content_length,
    )

    def publish(file: Fetched) -> PublishedRelease:
        try:
            _compare(file, sha256)
            published = marketplace.publishing.publish(
                principal,
                file.path,
                file.name,
                address,
                details=details,
                parent=number,
                options=options,
            )
        finally:
            file.path.unlink()
        return published_release(published)

    with uploads.place(principal.person_id):
        await asyncio.to_thread(marketplace.publishing.expect, principal, address)
        settings = marketplace.settings
        pace = Pace(stall=settings.upload_stall, least=settings.least_rate)
        return await uploads.run(publish, await _received(request, spool, uploads, pace))


async def _received(request: Call, spool: Spool, uploads: Lane, pace: Pace) -> Fetched:
    """The body in a file. No thread is held while the sender is awaited.

    Raises SourceInterrupted where nothing comes, or too little, or the connection ends.
    """
    with spool:
        async with aclosing(_one_ahead(_blocks(request, pace))) as blocks:
            async for pieces in blocks:
                await uploads.run(spool.write, *pieces)
        return await uploads.run(spool.finish)


async def _one_ahead(blocks: AsyncIterator[_Block]) -> AsyncGenerator[_Block]:
    """The blocks, each of them awaited while the one before it is dealt with."""
    coming = asyncio.ensure_future(anext(blocks, None))
    try:
        while (block := await coming) is not None:
            coming = asyncio.ensure_future(anext(blocks, None))
            yield block
    finally:
        if not coming.cancel() and not coming.cancelled():
            coming.exception()  # looked at, for whoever left before it has another failure to tell


async def _blocks(request: Call, pace: Pace) -> AsyncIterator[_Block]:
    pieces = request.stream()
    block: _Block = []
    size = 0
    while (piece := await _next_piece(pieces, pace)) is not None:
        pace.moved(len(piece))
        block.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES:
            yield block
            block, size = [], 0
    yield block


async def _next_piece(pieces: AsyncIterator[bytes], pace: Pace) -> bytes | None:
    try:
        return await pace.wait(anext(pieces, None))
    except TimeoutError:
        reason = (
            f"Nothing more of the file came for {pace.stall:g} seconds, or on average fewer than "
            f"{pace.least} bytes a second."
        )
    except LitestarException:
        # So the framework says that the connection ended before the end of the body.
        reason = "The sender stopped before the file was whole."
    raise SourceInterrupted(reason, next_step="Send it again.")


def _compare(file: Fetched, announced: str | None) -> None:
    if announced not in (None, file.sha256):
        raise SourceInterrupted(
            "What arrived is not the file that was announced: its SHA-256 differs.",
            next_step="Send it again.",
        )


def _file_name(request: Call, given: str | None) -> str:
    disposition = Message()
    disposition["Content-Disposition"] = request.headers.get("content-disposition", "attachment")
    name = given or disposition.get_filename() or ""
    name = PurePosixPath(name.replace("\\", "/")).name
    check_lines(**{"file name": name})
    if not name.strip("."):
        raise RequestMalformed(
            "The call does not say what the file is called; its ending tells the format.",
            next_step='Send Content-Disposition: attachment; filename="..." or ?filename=...',
        )
    return name


def _check_texts(*texts: str) -> None:
    """Tabs and line ends are well in a description, a delimiter or the heading of a column."""
    if not all(map(is_plain, texts)):
        raise RequestMalformed(
            "What the call says of the file holds a NUL or another control character.",
            next_step="Write it as plain text.",
        )


def _release_number(parent: str | None) -> int | None:
    if parent is None:
        return None
    text = parent.strip().strip('"')
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_NUMBER))
    if not digits or int(text) > _LARGEST_NUMBER:
        raise RequestMalformed(
            "If-Match does not hold the number of a release.",
            next_step='Send the number of the release you build on, such as If-Match: "3".',
        )
    return int(text)
