"""`connect`, and what one can do with a marketplace from Python."""

import os
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa
import pyarrow.ipc

from marketplace.client.errors import InvalidCall
from marketplace.client.files import (
    Report,
    check_target,
    content_digest,
    media_type_for,
    media_type_of,
    pieces_of,
    write_whole,
)
from marketplace.client.pulling import pull_table
from marketplace.client.result import Result, entry_of
from marketplace.client.rollout import RolloutCalls
from marketplace.client.stewardship import Stewardship
from marketplace.client.transport import ARROW, Body, Transport, check_url, is_local
from marketplace.wire import (
    AccessChanges,
    AccessOverview,
    AgreementDescription,
    ApprovalForm,
    Caller,
    DatasetDescription,
    DatasetSummary,
    ExplanationOfAccess,
    ExtensionForm,
    Health,
    PolicyApplication,
    PolicyApplied,
    PolicyFile,
    PolicyFinding,
    PolicyReview,
    PublishedRelease,
    QueryRequest,
    Reason,
    ReleaseDescription,
    ShareRequestDescription,
    ShareRequestForm,
)

_LOCAL = "http://127.0.0.1:8400"


def connect(
    url: str | None = None,
    token: str | None = None,
    project: str | None = None,
    *,
    timeout: float = 300.0,
    allow_unencrypted: bool = False,
    compression: Literal["auto", "none", "lz4", "zstd"] = "auto",
) -> "Client":
    """A client of the marketplace at `url`; nothing is sent yet.

    What is left out is read from MARKETPLACE_URL, MARKETPLACE_TOKEN and MARKETPLACE_PROJECT; the
    address of a service on this machine is the last resort. `timeout` is how many seconds the
    service may be silent. A token goes over plain http to this machine only, unless
    `allow_unencrypted`. `compression` is how Arrow travels: left to the client, as it is from this
    machine and with zstd from others. Raises InvalidCall, InsecureConnection.
    """
    url = url or os.environ.get("MARKETPLACE_URL") or _LOCAL
    token = token if token is not None else os.environ.get("MARKETPLACE_TOKEN", "")
    project = project or os.environ.get("MARKETPLACE_PROJECT") or None
    check_url(url, token=token, allow_unencrypted=allow_unencrypted)
    if compression == "auto":
        compression = "none" if is_local(url) else "zstd"
    return Client(
        Transport(url, token=token, project=project, timeout=timeout, compression=compression)
    )


class Client:
    """A marketplace, as one person sees it. Safe to share between threads; close it when done.

    `stewardship` has the calls of those who look after data: offers, stops, roles. Every method raises
    MarketplaceProblem where the service refuses, ServiceUnreachable where it
    does not answer, and StreamCut where an answer breaks off.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.stewardship = Stewardship(transport)
        self.rollout = RolloutCalls(transport)
        """Where the rollout stands and moves of it; for operators and auditors."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Result:
        """Run one SELECT. Returns when the first rows are there; the result is read once.

        `parameters` are the values for its `?`, in their order: anything that pyarrow has a type for.
        """
        return Result(self._run(sql, parameters, ARROW))

    def stream(self, sql: str, file_format: str, parameters: Sequence[Any] = ()) -> Body:
        """The bytes of a result as the service writes them, in a format as `download` takes.

        Arrow comes as a stream, perhaps packed. `read` raises StreamCut instead of ending early; close
        it, or use it in a `with` block.
        """
        return self._run(sql, parameters, media_type_of(file_format))

    def pull(
        self,
        address: str,
        path: str | Path,
        *,
        release: int | None = None,
        progress: Report | None = None,
    ) -> Path:
        """Write a table, as far as it is yours to read, to a file; its ending chooses the format.

        A `.parquet` file is downloaded as it is stored: of the release of that number, or of the
        newest; a transfer that is cut goes on where it was cut. `.csv`, `.json`, `.jsonl` and
        `.arrow` (the Arrow file format) are written anew, from the newest release, and not gone on
        with. The file appears only when all of it has come.
        """
        path = Path(path)
        if path.suffix.lower() == ".parquet":
            check_target(path)
            pull_table(self._transport, _table_path(address, release), path, progress)
            return path
        if release is not None:
            raise InvalidCall(
                "Only a Parquet file can be had of a release by its number.",
                next_step="Let the file's name end in .parquet, or leave the release out.",
            )
        table = ".".join(_quoted(part) for part in _parts(address))
        sql = "SELECT * FROM " + table  # noqa: S608 - each part is quoted
        return self.download(sql, path, progress=progress)

    def download(
        self,
        sql: str,
        path: str | Path,
        *,
        file_format: str | None = None,
        parameters: Sequence[Any] = (),
        progress: Report | None = None,
        receipt: str | Path | None = None,
    ) -> Path:
        """Write the result of one SELECT to a file; its ending chooses the format, unless `file_format`
        does.

        `parquet`, `csv`, `json`, `jsonl` or `arrow` (the Arrow file format). The file appears only
        when all of it has come. A result that is cut is not gone on with: it raises StreamCut. With
        `receipt`, the proof of the read goes to that file (see `Client.receipt`).
        """
        path = Path(path)
        media_type = media_type_for(path, file_format)
        check_target(path)
        report = None if progress is None else lambda done: progress(done, None)
        with self._run(sql, parameters, media_type, report) as body:
            write_whole(body, path, media_type)
        if receipt is not None:
            Path(receipt).write_text(self.receipt(entry_of(body)))
        return path

    def _run(
        self,
        sql: str,
        parameters: Sequence[Any],
        media_type: str,
        progress: Callable[[int], None] | None = None,
    ) -> Body:
        accept = self._transport.arrow_accepted if media_type == ARROW else media_type
        body = _ask(sql, parameters)
        return self._transport.open(
            "POST", "/api/v1/query", accept=accept, body=body, progress=progress
        )

    def search(self, words: str = "") -> list[DatasetSummary]:
        """The datasets you may know of whose texts hold every word."""
        query = {"words": words}
        return self._transport.call("GET", "/api/v1/datasets", list[DatasetSummary], query=query)

    def preview(self, address: str, *, rows: int = 10) -> Result:
        """The first rows of a table, 100 at most, as far as they are yours to see."""
        query = {"table": _table(address), "rows": rows}
        path = f"{_dataset_path(address)}/preview"
        return Result(self._transport.open("GET", path, accept=ARROW, query=query))

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
        access_rights, official_sensitive, visible_to), how it is marked from this release on
        (classification, handling) and says what the file does not (encoding,
        delimiter, header_line, last_line, sheet, date_order, text_columns) and how the table is kept
        (sort: the columns that its rows are sorted by).
        """
        path = Path(path)
        size = path.stat().st_size
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            # So a file that is altered on its way, or while it is sent, is refused.
            "Content-Digest": content_digest(path),
        }
        if parent is not None:
            headers["If-Match"] = f'"{parent:d}"'
        return self._transport.upload(
            f"{_dataset_path(address)}/releases",
            pieces_of(path, size, progress),
            PublishedRelease,
            query={**said, "filename": path.name, "table": _table(address)},
            headers=headers,
        )

    def ask(self, form: ShareRequestForm) -> ShareRequestDescription:
        """Submit a data share request for your project."""
        return self._transport.call("POST", "/api/v1/requests", ShareRequestDescription, body=form)

    def ask_again(self, request: str, form: ShareRequestForm) -> ShareRequestDescription:
        """Submit a returned request again, rewritten."""
        path = _request_path(request)
        return self._transport.call("PUT", path, ShareRequestDescription, body=form)

    def requests(self) -> list[ShareRequestDescription]:
        """Your project's requests, or those that your role decides on."""
        return self._transport.call("GET", "/api/v1/requests", list[ShareRequestDescription])

    def request(self, request: str) -> ShareRequestDescription:
        """One request with its history."""
        return self._transport.call("GET", _request_path(request), ShareRequestDescription)

    def take_up(self, request: str) -> ShareRequestDescription:
        """Begin to review a request."""
        path = _request_path(request, "take-up")
        return self._transport.call("POST", path, ShareRequestDescription)

    def return_(self, request: str, reason: str) -> ShareRequestDescription:
        """Give a request back for changes, saying which."""
        return self._move(request, "return", reason)

    def reject(self, request: str, reason: str) -> ShareRequestDescription:
        """Say no, and why."""
        return self._move(request, "reject", reason)

    def cancel(self, request: str, reason: str = "") -> ShareRequestDescription:
        """Withdraw your project's request."""
        return self._move(request, "cancel", reason)

    def approve(self, request: str, approval: ApprovalForm) -> AgreementDescription:
        """Say yes, as asked or less; the agreement is in force when this returns."""
        path = _request_path(request, "approve")
        return self._transport.call("POST", path, AgreementDescription, body=approval)

    def agreements(self) -> list[AgreementDescription]:
        """Your project's agreements, or those that your role oversees."""
        return self._transport.call("GET", "/api/v1/agreements", list[AgreementDescription])

    def revoke(self, agreement: str, reason: str) -> AgreementDescription:
        """End an agreement at once."""
        path = f"/api/v1/agreements/{quote(agreement, safe='')}/revoke"
        body = Reason(reason=reason)
        return self._transport.call("POST", path, AgreementDescription, body=body)

    def extend(self, agreement: str, last_day: date, reason: str) -> AgreementDescription:
        """Let an agreement in force last longer."""
        path = f"/api/v1/agreements/{quote(agreement, safe='')}/extend"
        body = ExtensionForm(last_day=last_day, reason=reason)
        return self._transport.call("POST", path, AgreementDescription, body=body)

    def why(
        self,
        dataset: str,
        *,
        action: str | None = None,
        person: str | None = None,
        project: str | None = None,
    ) -> ExplanationOfAccess:
        """Why you may or may not query (or do another action to) a dataset, and what to ask for.

        Owners and auditors of the dataset may ask about a person, in a project or in all they act in.
        """
        query = {"dataset": dataset, "action": action, "person": person, "project": project}
        return self._transport.call("GET", "/api/v1/why", ExplanationOfAccess, query=query)

    def who(self, dataset: str) -> AccessOverview:
        """Everybody who can read a dataset, by what and until when; for who looks after it."""
        return self._transport.call(
            "GET", "/api/v1/who", AccessOverview, query={"dataset": dataset}
        )

    def what(self, person: str | None = None) -> AccessOverview:
        """What you can read in each capacity of yours.

        Who looks after data may ask about another person (e-mail address), and is told of that data.
        """
        return self._transport.call("GET", "/api/v1/what", AccessOverview, query={"person": person})

    def changes(
        self, since: str, *, until: str | None = None, dataset: str | None = None
    ) -> AccessChanges:
        """Who gained and who lost what of the data that you look after.

        `since` and `until` are revisions of the policy, days (`2026-06-01`) or moments.
        """
        query = {"since": since, "until": until, "dataset": dataset}
        return self._transport.call("GET", "/api/v1/changes", AccessChanges, query=query)

    def policy(self, organisation: str) -> str:
        """What stands over an organisation's datasets (`*`: over everything), as TOML."""
        return self._transport.call("GET", f"/api/v1/policy/{quote(organisation, safe='')}", str)

    def policy_findings(self, organisation: str) -> list[PolicyFinding]:
        """The rules that can do nothing, and those that open more than is usual."""
        path = f"/api/v1/policy/{quote(organisation, safe='')}/findings"
        return self._transport.call("GET", path, list[PolicyFinding])

    def review_policy(self, text: str) -> PolicyReview:
        """What a policy file changes, and what is odd in it; nothing is changed."""
        body = PolicyFile(text=text)
        return self._transport.call("POST", "/api/v1/policy/review", PolicyReview, body=body)

    def apply_policy(self, text: str, reason: str, *, dry_run: bool = False) -> PolicyApplied:
        """Make every change of a policy file at once, as far as all are yours to make; else none."""
        body = PolicyApplication(text=text, reason=reason, dry_run=dry_run)
        return self._transport.call("POST", "/api/v1/policy/apply", PolicyApplied, body=body)

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

    def _move(self, request: str, move: str, reason: str) -> ShareRequestDescription:
        path = _request_path(request, move)
        body = Reason(reason=reason)
        return self._transport.call("POST", path, ShareRequestDescription, body=body)

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


def _ask(sql: str, parameters: Sequence[Any]) -> QueryRequest:
    return QueryRequest(sql=sql, parameters=_one_row(parameters) if parameters else ())


def _one_row(values: Sequence[Any]) -> bytes:
    """The values of parameters as an Arrow IPC stream, which keeps their types."""
    try:
        columns = [pa.array([value]) for value in values]
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise InvalidCall(
            f"A value of a parameter has no Arrow type: {error}",
            next_step="Give numbers, texts, dates, times, decimals, bytes, or lists of these.",
        ) from None
    row = pa.record_batch(columns, names=[str(place) for place in range(len(columns))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_batch(row)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _request_path(request: str, *move: str) -> str:
    return "/".join(("/api/v1/requests", quote(request, safe=""), *move))


def _dataset_path(address: str) -> str:
    organisation, dataset, *_ = (quote(part, safe="") for part in _parts(address))
    return f"/api/v1/datasets/{organisation}/{dataset}"


def _table_path(address: str, release: int | None) -> str:
    dataset, table = _parts(address)[1], _table(address)
    chosen = "latest" if release is None else f"{release:d}"
    return f"{_dataset_path(address)}/releases/{chosen}/tables/{quote(table or dataset, safe='')}"


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
