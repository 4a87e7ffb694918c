"""Whole tables as files: decided and recorded as queries are, and sent as they lie in the cache.

the table's release -> one decision, recorded -> the files of the caller's scope, verified -> bytes
delivered while access lasts -> the record closed.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

from access_policies.vocabulary import Action
from catalogue.dataset import DataFile
from catalogue.errors import ObjectCorrupted, Problem
from marketplace import enforcement
from marketplace.delivery import Delivery, Watch
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.result_stream import Take
from marketplace.engine.query.statement import Name, Statement
from marketplace.errors import QueryTooLarge, ServiceBusy, UnknownRecord
from marketplace.extracts import Extracts
from marketplace.identity.principal import Principal
from marketplace.query.permits import Permit, Permits, Reading

_PIECE = 1024 * 1024

_Copies = tuple[tuple[DataFile, Path], ...]


class Downloads:
    """Opens the files of tables for callers who may download them."""

    def __init__(self, *, permits: Permits, extracts: Extracts) -> None:
        self._permits = permits
        self._extracts = extracts

    def open(
        self,
        principal: Principal,
        table: Name,
        release: int | None,
        *,
        cancellation: Cancellation | None = None,
    ) -> "OpenTable":
        """Decide and record a download of one table, and hold its files until that is closed.

        `table` is (organisation, dataset, table); no release is the newest. Raises UnknownDataset
        (also for what the caller may not know of), UnknownRelease, AccessDenied, Unauthenticated,
        QueryTooLarge where the agreement lets less out at once, QueryStopped where `cancellation` says
        so before, and what `Extracts.pinned` raises.
        """
        pinned = {} if release is None else {".".join(table[:2]): release}
        permit = self._permits.issue(
            principal,
            Statement(sql="", tables=frozenset({table})),
            releases=pinned,
            action=Action.DOWNLOAD,
        )
        (reading,) = permit.readings
        held = ExitStack()
        try:
            files = self._extracts.files_for(
                reading.table, reading.scope, cancellation=cancellation
            )
            _check_limit(reading, files)
            copies = self._copies(held, reading, files)
        except BaseException as error:
            held.close()
            self._permits.close(permit, 0, 0, type(error).__name__)
            raise
        return OpenTable(self._permits, permit, self._permits.watch(permit), copies, held)

    def _copies(self, held: ExitStack, reading: Reading, files: tuple[DataFile, ...]) -> _Copies:
        """Each file with its verified copy, which the cache names by its content."""
        paths = held.enter_context(self._extracts.pinned(reading.table, reading.scope, files=files))
        by_content = {path.stem: path for path in paths}
        if any(file.sha256 not in by_content for file in files):
            # The store had lost the extract, and it was built again.
            files = self._extracts.files_for(reading.table, reading.scope)
        try:
            return tuple((file, by_content[file.sha256]) for file in files)
        except KeyError:
            raise ServiceBusy(
                "The files of the table are being built again.", next_step="Send the call again."
            ) from None


def _check_limit(reading: Reading, files: tuple[DataFile, ...]) -> None:
    """Raise QueryTooLarge where the agreement lets less out at once than the whole table."""
    limit = enforcement.result_limit([reading.decision])
    if limit is None:
        return
    for kind, most, has in (
        ("rows", limit.rows, sum(file.rows for file in files)),
        ("bytes", limit.bytes, sum(file.bytes for file in files)),
    ):
        if most is not None and has > most:
            raise QueryTooLarge(
                f"The agreement lets out at most {most:,} {kind} at once, and the table has more.",
                next_step="Query the part that you need, or ask the owner for a higher limit.",
            )


class OpenTable:
    """The files that hold what a caller may have of one table. Deliver one of them, or close it.

    `entry` is the audit entry of the decision, `access_ends` the first moment at which time alone may
    end the access.
    """

    def __init__(
        self,
        permits: Permits,
        permit: Permit,
        watch: Watch,
        copies: _Copies,
        held: ExitStack,
    ) -> None:
        self.files = tuple(file for file, _ in copies)
        self.entry = permit.entry
        self.access_ends = permit.until
        self.reading: Reading
        (self.reading,) = permit.readings
        self._permits = permits
        self._permit = permit
        self._watch = watch
        self._paths = tuple(path for _, path in copies)
        self._held = held
        self._closed = False

    @property
    def releases(self) -> dict[str, int]:
        """The release that is read, by its dataset."""
        release = self.reading.release
        return {str(release.dataset): release.number}

    def file(self, number: int) -> DataFile:
        """One of the files, counted from 1. Raises UnknownRecord."""
        if not 1 <= number <= len(self.files):
            raise UnknownRecord(
                f"The table has {len(self.files)} files, and none of number {number}.",
                next_step="List them at the address of the table itself.",
            )
        return self.files[number - 1]

    def deliver(self, number: int, part: range) -> Delivery:
        """Send the bytes `part` of one file; closing the delivery closes this."""
        file = self.file(number)
        sent = FilePart(self._paths[number - 1], part, file.rows if len(part) == file.bytes else 0)
        self._closed = True
        return Delivery(
            sent,
            self._watch,
            entry=self.entry,
            releases=self.releases,
            access_ends=self.access_ends,
            held=self._held,
            closing=partial(self._close_sent, file, part),
        )

    def close(self, outcome: str = "nothing sent") -> None:
        """Let the files go and close the record, where nothing was delivered. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._held.close()
        self._permits.close(self._permit, 0, 0, outcome)

    def __enter__(self) -> Self:
        """Closes itself at the end of a `with` block, unless a delivery does."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """See `close`."""
        self.close(type(error).__name__ if error else "nothing sent")

    def _close_sent(self, file: DataFile, part: range, rows: int, sent: int, outcome: str) -> None:
        if outcome == "complete" and len(part) < file.bytes:
            outcome = f"complete: bytes {part.start}-{part.stop - 1} of {file.bytes}"
        self._permits.close(self._permit, rows, sent, outcome)


class FilePart(Iterator[bytes]):
    """A part of a file, piece by piece; `rows` are told once all of it was read."""

    def __init__(self, path: Path, part: range, rows: int) -> None:
        self.rows = 0
        self.size = len(part)
        self._promised = rows
        self._left = len(part)
        self._file = path.open("rb", buffering=0)
        self._file.seek(part.start)
        self._stopped: Problem | None = None

    def __next__(self) -> bytes:
        """The next piece. Raises ObjectCorrupted where the file is shorter than it was."""
        if self._stopped is not None:
            raise self._stopped
        if self._left == 0:
            self.rows = self._promised
            raise StopIteration
        piece = self._file.read(min(_PIECE, self._left))
        if not piece:
            raise ObjectCorrupted("A verified file became shorter while it was sent.")
        self._left -= len(piece)
        return piece

    def relay(self, take: Take) -> list[bytes]:
        """Give piece after piece to `take` while it leaves nothing; see `Stream`."""
        return next((left for piece in self if (left := take(piece))), [])

    def stop(self, reason: Problem) -> None:
        """Give no further piece; whoever asks for one is told the reason."""
        self._stopped = reason

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
