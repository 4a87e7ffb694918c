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
from marketplace.engine.written_file import WrittenFile
from marketplace.errors import WorkerLost


class ExtractBuilder:
    """Builds extracts, each in a process of its own; one such process is kept started and warm.

    Safe to share between threads. Close it, also where `start` was never called.
    """

    def __init__(self, limits: Limits, *, scratch: Path) -> None:
        self._limits = limits
        self._scratch = scratch
        self._guard = Lock()
        self._spare: ConfinedProcess | None = None
        self._at_work: set[ConfinedProcess] = set()
        self._closed = False

    def start(self) -> None:
        """Start the spare process, unless there is one. Returns at once."""
        with self._guard:
            if self._spare is None and not self._closed:
                self._spare = self._process()

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
        with self._guard:
            self._closed = True
            spare, self._spare = self._spare, None
            at_work = tuple(self._at_work)
        for process in at_work:
            process.stop(_stopped())
        if spare is not None:
            spare.close()

    def _take(self) -> ConfinedProcess:
        """A process that waits for its work: the spare, or a new one where that is gone."""
        with self._guard:
            if self._closed:
                raise _stopped()
            spare, self._spare = self._spare, None
            process = spare if spare is not None and spare.alive else self._process()
            self._at_work.add(process)
        if spare is not None and spare is not process:
            spare.close()
        try:
            process.warm()
        except Problem:
            with self._guard:
                self._at_work.discard(process)
            process.close()
            raise
        return process

    def _process(self) -> ConfinedProcess:
        return ConfinedProcess.start(Role.EXTRACT, self._limits, scratch=self._scratch)


def _stopped() -> Problem:
    return WorkerLost("The service is stopping.", next_step="Try again in a moment.")


def _path(kind: type, value: object) -> object:
    return kind(value)
