"""A confined, killable process, seen from its parent.

The parent trusts nothing that comes back: frames are bounded, errors are of known kinds, and an
answer without END is lost. A watch kills what oversteps its deadline or its memory, because neither
can be left to DuckDB (the README has the figures).
"""

import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from os import sysconf
from pathlib import Path
from typing import IO, Self, cast

import msgspec

from catalogue.errors import Problem
from marketplace.engine.frames import (
    CHUNK,
    Failure,
    Frame,
    FrameKind,
    problem_of,
    read_frame,
    write_request,
)
from marketplace.engine.limits import Limits
from marketplace.engine.roles import Confine, Role
from marketplace.engine.watch import WATCH, Budget
from marketplace.errors import QueryTooLarge, WorkerLost

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0
_PAGE = sysconf("SC_PAGE_SIZE")


class ConfinedProcess:
    """One process of one role. Use it from one thread at a time; `stop` may come from any."""

    def __init__(
        self, process: subprocess.Popen[bytes], limits: Limits, scratch: Path, said: IO[bytes]
    ) -> None:
        self._process = process
        self._requests = cast("IO[bytes]", process.stdin)
        self._answers = cast("IO[bytes]", process.stdout)
        self._limits = limits
        self._scratch = scratch
        self._said = said
        self._reason: Problem | None = None
        self._budget: Budget | None = None
        self.confinement = ""

    @classmethod
    def start(cls, role: Role, limits: Limits, *, scratch: Path) -> Self:
        """Start a process that imports its role and then waits to be confined.

        It gets a private folder of its own in `scratch`, removed with it. Returns at once; `warm`
        waits for it.
        """
        scratch.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix=f"{role}-", dir=scratch)).resolve()
        said = tempfile.TemporaryFile()  # noqa: SIM115 -- open for as long as the process starts
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "marketplace.engine.child", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=private,
            env=_environment(private),
            bufsize=CHUNK,
            pipesize=CHUNK,
        )
        return cls(process, limits, private, said)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def resident(self) -> int:
        """Bytes of memory that the process holds now; 0 once it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * _PAGE if len(fields) > 1 else 0

    def warm(self) -> None:
        """Wait until the process has started. Raises WorkerLost where it cannot start."""
        try:
            self._await_ready(_START_SECONDS)
        except WorkerLost:
            self._said.seek(0)
            _log.error(
                "A worker could not start: %s", self._said.read()[-4000:].decode("utf-8", "replace")
            )
            raise

    def confine(self, *, read: Sequence[Path] = (), write: Sequence[Path] = ()) -> str:
        """Leave it only these files to read and folders to write; once, after `warm`.

        Returns what the kernel holds it to. Raises ConfinementMissing as the limits demand.
        """
        self._send(
            Confine(
                limits=self._limits,
                scratch=str(self._scratch),
                read=tuple(str(path.resolve()) for path in read),
                write=tuple(str(path.resolve()) for path in write),
            )
        )
        self.confinement = self._await_ready(_START_SECONDS).decode("utf-8", "replace")
        return self.confinement

    def call(self, request: msgspec.Struct, *, deadline: float) -> "Call":
        """Send a request; the answer comes frame by frame. `deadline` is in seconds."""
        self._send(request)
        return Call(self, self._begin(deadline))

    def settle(self) -> bool:
        """After a call: wait until the process is ready for another; False where it is not fit."""
        try:
            self._await_ready(_START_SECONDS)
        except Problem:
            return False
        return True

    def stop(self, reason: Problem) -> None:
        """Kill it at once, from any thread; whoever reads from it is told the first reason."""
        if self._reason is None:
            self._reason = reason
        self._process.kill()

    def close(self) -> None:
        """Kill it, and remove its private folder."""
        self.stop(WorkerLost("The stream was closed before its end."))
        self.end_of_answer()
        self._process.wait()
        for pipe in (self._requests, self._answers, self._said):
            with suppress(OSError):  # a request that was never read
                pipe.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def check(self) -> None:
        """Stop it where it oversteps its memory or the budget of its answer."""
        if (budget := self._budget) is None:
            return
        if self.resident() > self._limits.memory:
            self.stop(
                QueryTooLarge(
                    f"It needed more than {self._limits.memory // 1024**2} MiB of memory and was "
                    "stopped.",
                    next_step="Ask for less: fewer rows or columns, or a smaller join or sort.",
                )
            )
        elif (problem := budget.overstepped()) is not None:
            self.stop(problem)

    def next_frame(self) -> Frame:
        """The next frame. Raises why the process was stopped, or WorkerLost."""
        frame = None
        with suppress(ValueError, OSError):  # closed meanwhile by another thread
            frame = read_frame(self._answers)
        if frame is None:
            raise self._loss()
        return frame

    def end_of_answer(self) -> None:
        """Nothing is owed any more."""
        self._budget = None
        WATCH.release(self)

    def _begin(self, deadline: float) -> Budget:
        self._budget = Budget(deadline, self._limits)
        WATCH.guard(self)
        return self._budget

    def _await_ready(self, deadline: float) -> bytes:
        self._begin(deadline)
        try:
            frame = self.next_frame()
        finally:
            self.end_of_answer()
        if frame.kind is FrameKind.ERROR:
            raise problem_in(frame)
        if frame.kind is not FrameKind.READY:
            raise self._loss()
        return frame.payload

    def _send(self, request: msgspec.Struct) -> None:
        try:
            write_request(self._requests, msgspec.msgpack.encode(request))
        except (OSError, ValueError):
            raise self._loss() from None

    def _loss(self) -> Problem:
        """Why there is no more; the process is of no use after it."""
        lost = WorkerLost(
            "The process that did the work ended before its answer was complete.",
            next_step="Try again; if it stays so, tell the operator.",
        )
        self.stop(lost)
        return self._reason or lost


class Call(Iterator[Frame]):
    """The answer to one request: DATA and NOTE frames, then `end` is the payload of its END.

    Raises what the process told, why it was stopped, or WorkerLost; only an iteration that ends
    without raising was complete. `over` says that the process has ended its answer by itself, with
    END or with an error, so that it may be asked again.
    """

    def __init__(self, process: ConfinedProcess, budget: Budget) -> None:
        self._process = process
        self._budget = budget
        self.end: bytes | None = None
        self.over = False

    def __next__(self) -> Frame:
        """The next DATA or NOTE frame."""
        if self.end is not None:
            raise StopIteration
        self._budget.wait()
        try:
            frame = self._process.next_frame()
        except Problem:
            self._process.end_of_answer()
            raise
        self._budget.arrive()
        if frame.kind in (FrameKind.DATA, FrameKind.NOTE):
            return frame
        self._process.end_of_answer()
        self.over = True
        if frame.kind is FrameKind.END:
            self.end = frame.payload
            raise StopIteration
        raise problem_in(frame)


def perform(
    role: Role,
    request: msgspec.Struct,
    *,
    read: Sequence[Path],
    write: Sequence[Path],
    limits: Limits,
    scratch: Path,
    on_note: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    """Do one piece of work in a process of its own, and return the payload of its END.

    `on_note` is given each NOTE. Raises what the process told, QueryTimedOut, QueryTooLarge,
    WorkerLost or ConfinementMissing. An exception from `on_note` kills the process.
    """
    process = ConfinedProcess.start(role, limits, scratch=scratch)
    try:
        process.warm()
        process.confine(read=read, write=write)
        call = process.call(request, deadline=limits.deadline)
        for frame in call:
            if frame.kind is FrameKind.NOTE:
                on_note(frame.payload)
        return call.end or b""
    finally:
        process.close()


def problem_in(frame: Frame) -> Problem:
    """The problem that an ERROR frame tells; what it says of code goes to the log."""
    try:
        failure = msgspec.msgpack.decode(frame.payload, type=Failure)
    except msgspec.DecodeError:
        failure = Failure(kind="", detail="", where="an ERROR frame that cannot be read")
    if failure.where:
        _log.error("A confined process failed: %s", failure.where[:2000])
    return problem_of(failure)


def _environment(private: Path) -> dict[str, str]:
    """All that the process knows of the world: none of the parent's settings or secrets.

    Two libraries start threads when they are imported, which Landlock would then not bind.
    """
    return {
        "HOME": str(private),
        "TMPDIR": str(private),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }
