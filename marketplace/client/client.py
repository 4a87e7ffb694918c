"""`connect`, and what one can do with a marketplace from Python."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from marketplace.client.errors import InvalidCall
from marketplace.client.files import Report, media_type_for, pieces_of, write_whole
from marketplace.client.result import Result
from marketplace.client.transport import Transport, check_url
from marketplace.wire import (
    Caller,
    DatasetDescription,
    DatasetSummary,
    Health,
    PublishedRelease,
    QueryRequest,
    ReleaseDescription,
)

_ARROW = "application/vnd.apache.arrow.stream"
_LOCAL = "http://127.0.0.1:8400"


def connect(
    url: str | None = None,
    token: str | None = None,
    project: str | None = None,
    *,
    timeout: float = 300.0,
    allow_unencrypted: bool = False,
) -> "Client":
    """A client of the marketplace at `url`; nothing is sent yet.

    What is left out is read from MARKETPLACE_URL, MARKETPLACE_TOKEN and MARKETPLACE_PROJECT; the
    address of a service on this machine is the last resort. `timeout` is how many seconds the
    service may be silent. A token goes over plain http to this machine only, unless
    `allow_unencrypted`. Raises InvalidCall, InsecureConnection.
    """
    url = url or os.environ.get("MARKETPLACE_URL") or _LOCAL
    token = token if token is not None else os.environ.get("MARKETPLACE_TOKEN", "")
    project = project or os.environ.get("MARKETPLACE_PROJECT") or None
    check_url(url, token=token, allow_unencrypted=allow_unencrypted)
    return Client(Transport(url, token=token, project=project, timeout=timeout))


class Client:
    """A marketplace, as one person sees it. Safe to share between threads; close it when done.

    Every method raises MarketplaceProblem where the service refuses, ServiceUnreachable where it
    does not answer, and StreamCut where an answer breaks off.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def query(self, sql: str) -> Result:
        """Run one SELECT. Returns when the first rows are there; the result is read once."""
        return Result(self._transport.open("POST", "/api/v1/query", accept=_ARROW, body=_ask(sql)))

    def pull(self, address: str, path: str | Path, *, progress: Report | None = None) -> Path:
        """Write a table, as far as it is yours to read, to a file; its ending chooses the format.

        `.parquet`, `.csv`, `.json`, or `.arrow` (the Arrow file format). The file appears only when
        all of it has come.
        """
        path = Path(path)
        table = ".".join(_quoted(part) for part in _parts(address))
        sql = "SELECT * FROM " + table  # noqa: S608 - each part is quoted
        return self.download(sql, path, progress=progress)

    def download(self, sql: str, path: str | Path, *, progress: Report | None = None) -> Path:
        """Write the result of one SELECT to a file, as `pull` does."""
        path = Path(path)
        report = None if progress is None else lambda done: progress(done, None)
        with self._transport.open(
            "POST", "/api/v1/query", accept=media_type_for(path), body=_ask(sql), progress=report
        ) as body:
            write_whole(body, path)
        return path

    def search(self, words: str = "") -> list[DatasetSummary]:
        """The datasets you may know of whose texts hold every word."""
        query = {"words": words}
        return self._transport.call("GET", "/api/v1/datasets", list[DatasetSummary], query=query)

    def dataset(self, address: str) -> DatasetDescription:
        """One dataset: its description, newest release, and whether you may query it."""
        return self._transport.call("GET", _dataset_path(address), DatasetDescription)

    def releases(self, address: str) -> list[ReleaseDescription]:
        """The releases of one dataset, newest first."""
        path = f"{_dataset_path(address)}/releases"
        return self._transport.call("GET", path, list[ReleaseDescription])

    def release(self, address: str, number: int) -> ReleaseDescription:
        """One release of one dataset."""
        path = f"{_dataset_path(address)}/releases/{number:d}"
        return self._transport.call("GET", path, ReleaseDescription)

    def publish(
        self,
        path: str | Path,
        address: str,
        *,
        parent: int | None = None,
        progress: Report | None = None,
        **said: Any,
    ) -> PublishedRelease:
        """Publish a file (CSV, Excel, Parquet) as the next release of a dataset.

        `address` is organisation.dataset, or organisation.dataset.table where the dataset has
        several. `parent` is the release you build on (0 for none): you are refused if another came
        first. The rest describes the dataset at its first release (title, description, licence,
        access_rights, official_sensitive, visible_to) and says what the file does not (encoding,
        delimiter, header_line, last_line, sheet, date_order, text_columns).
        """
        path = Path(path)
        size = path.stat().st_size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if parent is not None:
            headers["If-Match"] = f'"{parent:d}"'
        return self._transport.upload(
            f"{_dataset_path(address)}/releases",
            pieces_of(path, size, progress),
            PublishedRelease,
            query={**said, "filename": path.name, "table": _table(address)},
            headers=headers,
        )

    def receipt(self, entry: str) -> str:
        """Proof, to keep, that an entry stands in the audit log (a C2SP tlog-proof)."""
        return self._transport.call("GET", f"/api/v1/audit/receipts/{quote(entry, safe='')}", str)

    def checkpoint(self) -> str:
        """The signed head of the audit log (a C2SP tlog-checkpoint)."""
        return self._transport.call("GET", "/api/v1/audit/checkpoint", str)

    def me(self) -> Caller:
        """Whom your token speaks for, and until when."""
        return self._transport.call("GET", "/api/v1/me", Caller)

    def health(self) -> Health:
        """Whether the service can do its work; it raises where it can not."""
        return self._transport.call("GET", "/health", Health)

    def close(self) -> None:
        """Let idle connections go."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(url={self._transport.url!r}, project={self._transport.project!r})"


def _ask(sql: str) -> QueryRequest:
    return QueryRequest(sql=sql)


def _dataset_path(address: str) -> str:
    organisation, dataset, *_ = (quote(part, safe="") for part in _parts(address))
    return f"/api/v1/datasets/{organisation}/{dataset}"


def _table(address: str) -> str | None:
    return (*_parts(address), None)[2]


def _parts(address: str) -> list[str]:
    parts = address.split(".")
    if len(parts) not in {2, 3} or not all(parts):
        raise InvalidCall(
            f"{address!r} is not the address of a dataset.",
            next_step="Write organisation.dataset or organisation.dataset.table.",
        )
    return parts


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
