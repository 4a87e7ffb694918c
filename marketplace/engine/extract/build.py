"""An extract: Parquet that holds exactly the rows and columns of one agreement's scope.

What a caller may not see is not in the file, not in its statistics, and not in the order of its
rows, which what is visible alone decides.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import msgspec

from catalogue.errors import Problem
from marketplace.engine.extract.extract_messages import (
    Condition,
    ExtractColumn,
    Extracted,
    ExtractProgress,
    ExtractRequest,
)
from marketplace.engine.frames import FrameKind
from marketplace.engine.limits import Limits
from marketplace.engine.process import ConfinedProcess
from marketplace.engine.roles import Role
from marketplace.engine.spare import Spare, stopping
from marketplace.engine.written_file import WrittenFile


class ExtractBuilder:
    """Builds extracts, each in a process of its own; one such process is kept started and warm.

    Safe to share between threads. Close it, also where `start` was never called.
    """

    def __init__(self, limits: Limits, *, scratch: Path) -> None:
        self._limits = limits
        self._spare = Spare(Role.EXTRACT, limits, scratch=scratch)
        self._guard = Lock()
        self._at_work: set[ConfinedProcess] = set()
        self._closed = False

    def start(self) -> None:
        """Start the spare process, unless there is one. Returns at once."""
        self._spare.start()

    def build(
        self,
        files: Sequence[Path],
        *,
        columns: Sequence[ExtractColumn],
        conditions: Sequence[Condition] = (),
        into: Path,
        deadline: float | None = None,
        report: Callable[[float], None] = lambda _: None,
    ) -> tuple[WrittenFile, ...]:
        """Write the extract of a table's `files` into the folder `into`, which must be empty.

        `columns` are written in this order; those of the `conditions`, which must all hold, need
        not be among them. `report` is given the share that is done, 0 to 1. Raises QueryFailed
        where a column is not in the files, QueryTimedOut, QueryTooLarge and WorkerLost; what lies
        in `into` then is to be thrown away.
        """
        request = ExtractRequest(
            files=tuple(str(path.resolve()) for path in files),
            columns=tuple(columns),
            conditions=tuple(conditions),
            into=str(into.resolve()),
        )
        process = self._take()
        try:
            process.confine(read=files, write=(into,))
            call = process.call(request, deadline=deadline or self._limits.deadline)
            for frame in call:
                if frame.kind is FrameKind.NOTE:
                    report(msgspec.msgpack.decode(frame.payload, type=ExtractProgress).share)
            return msgspec.msgpack.decode(call.end or b"", type=Extracted, dec_hook=_path).files
        finally:
            with self._guard:
                self._at_work.discard(process)
            process.close()
            self.start()

    def close(self) -> None:
        """Stop the spare process and whatever is being built."""
        self._spare.close()
        with self._guard:
            self._closed = True
            at_work = tuple(self._at_work)
        for process in at_work:
            process.stop(stopping())

    def _take(self) -> ConfinedProcess:
        """A warm process, which `close` will stop. Raises WorkerLost."""
        process = self._spare.take()
        try:
            with self._guard:
                if self._closed:
                    raise stopping()
                self._at_work.add(process)
            process.warm()
        except Problem:
            with self._guard:
                self._at_work.discard(process)
            process.close()
            raise
        return process


def _path(kind: type, value: object) -> object:
    return kind(value)
