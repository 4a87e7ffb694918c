"""A confined, killable process, seen from its parent.

The parent trusts nothing that comes back: frames are bounded, errors are of known kinds, and an
answer without END is lost. A watch ends what oversteps its deadline or its memory, because neither
can be left to DuckDB (the README has the figures): by an interrupt, which leaves the process fit for
the next request, and by a kill where that is not heeded or memory cannot wait for it.
"""

import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, Self, cast

import msgspec

from catalogue.errors import Problem
from marketplace.engine.account import Account
from marketplace.engine.frames import (
    CHUNK,
    SHARED,
    Failure,
    Frame,
    FrameKind,
    Place,
    problem_of,
    read_frame,
    write_request,
)
from marketplace.engine.limits import Limits
from marketplace.engine.roles import Confine, Role
from marketplace.engine.slots import Slots
from marketplace.engine.watch import WATCH, Budget
from marketplace.errors import QueryTooLarge, WorkerLost

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0
_GRACE = 0.5  # seconds in which an interrupt must be heeded; what does not is killed
_NUMBER = struct.Struct("<I")
_CARRYING = (FrameKind.DATA, FrameKind.LAST, FrameKind.NOTE)


class ConfinedProcess:
    """One process of one role. Use it from one thread at a time; `stop` may come from any.

    `account` tells what it takes of the machine.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        scratch: Path,
        *,
        interrupts: IO[bytes],
        said: IO[bytes],
        slots: Slots | None,
    ) -> None:
        self._process = process
        self._requests = cast("IO[bytes]", process.stdin)
        self._answers = cast("IO[bytes]", process.stdout)
        self._limits = limits
        self._scratch = scratch
        self._interrupts = interrupts
        self._said = said
        self.slots = slots
        self._reason: Problem | None = None
        self._requested = 0
        self.account = Account(process.pid)
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
        heard, interrupting = os.pipe()
        os.set_blocking(interrupting, False)  # a process that does not listen keeps nobody
        slots = Slots() if role is Role.QUERY else None
        inherited = (heard, *(slots.inherited if slots else ()))
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "marketplace.engine.child", role, *map(str, inherited)],
            pass_fds=inherited,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=private,
            env=_environment(private),
            pipesize=CHUNK,
        )
        for descriptor in inherited:
            os.close(descriptor)
        interrupts = open(interrupting, "wb", buffering=0)  # noqa: PTH123, SIM115 -- a descriptor
        return cls(process, limits, private, interrupts=interrupts, said=said, slots=slots)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def yield_to_others(self) -> None:
        """Let it have the processors that nobody else wants, for good: who may lower the priority of
        a process may not always raise it again."""
        with suppress(OSError):  # gone
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                with suppress(OSError):  # this thread is gone
                    os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))

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
        self._requested += 1
        call = Call(self, self._requested, deadline, self._limits)
        try:
            self._send(request)
        except Problem:
            call.finish()
            raise
        return call

    def settle(self) -> bool:
        """After a call: wait until the process is ready for another; False where it is not fit."""
        try:
            self._await_ready(_START_SECONDS)
        except Problem:
            return False
        return True

    def rest(self) -> None:
        """Let go what only an answer on its way needs."""
        if self.slots is not None:
            self.slots.rest()

    def stop(self, reason: Problem) -> None:
        """Kill it at once, from any thread; whoever reads from it is told the first reason."""
        if self._reason is None:
            self._reason = reason
        self._process.kill()

    def close(self) -> None:
        """Kill it, and remove its private folder."""
        self.stop(WorkerLost("The stream was closed before its end."))
        self._process.wait()
        for file in (
            self._requests,
            self._answers,
            self._interrupts,
            self._said,
        ):
            with suppress(OSError):  # a request that was never read
                file.close()
        self.account.close()
        if self.slots is not None:
            self.slots.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def interrupt(self, number: int) -> None:
        """Ask it, from any thread, to end its answer to that request early; it may not heed that."""
        with suppress(ValueError, OSError):  # closed, or gone
            self._interrupts.write(_NUMBER.pack(number))

    def next_frame(self) -> Frame:
        """The next frame. Raises why the process was stopped, or WorkerLost."""
        frame = None
        with suppress(ValueError, OSError):  # closed meanwhile by another thread
            frame = self._read()
        if frame is None:
            raise self._loss()
        return frame

    def _read(self) -> Frame | None:
        frame = read_frame(self._answers)
        if frame is not None and frame.kind is FrameKind.SHARED:
            return self._shared(frame)
        return frame

    def _shared(self, frame: Frame) -> Frame | None:
        """The DATA that a SHARED frame stands for, or None where no honest process says so."""
        if self.slots is None or len(frame.payload) != SHARED.size:
            return None
        slot, size = SHARED.unpack(frame.payload)
        if not self.slots.take(slot, size):
            return None
        return Frame(FrameKind.DATA, b"", Place(slot, self.slots.view(slot, size)))

    def _await_ready(self, deadline: float) -> bytes:
        waiting = Call(self, self._requested, deadline, self._limits)
        try:
            frame = self.next_frame()
        finally:
            waiting.finish()
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
    """The answer to one request: DATA, LAST and NOTE frames, then `end` is the payload of its END.

    Raises what the process told, why the call was stopped, or WorkerLost; only an iteration that
    ends without raising was complete. `over` says that the process has ended its answer by itself,
    with END or with an error, so that it may be asked again. The watch looks at it until then.
    """

    def __init__(
        self, process: ConfinedProcess, number: int, deadline: float, limits: Limits
    ) -> None:
        self._process = process
        self._number = number
        self._memory = limits.memory
        self._budget = Budget(deadline, limits)
        self._reason: Problem | None = None
        self._stopped_at = float("inf")
        self.end: bytes | None = None
        self.over = False
        WATCH.guard(self)

    def __next__(self) -> Frame:
        """The next DATA, LAST or NOTE frame; `let_go` of it when its payload has been read."""
        if self.end is not None:
            raise StopIteration
        while (frame := self._receive()).kind in _CARRYING:
            if self._reason is None:
                return frame
            self.let_go(frame)
        self.over = True
        self.finish()
        if self._reason is not None:
            raise self._reason
        if frame.kind is not FrameKind.END:
            self._reason = problem_in(frame)
            raise self._reason
        self.end = frame.payload
        raise StopIteration

    def let_go(self, frame: Frame) -> None:
        """The payload of a frame is of no more use: the process may use its place again."""
        if frame.place is not None and self._process.slots is not None:
            self._process.slots.give_back(frame.place.slot)

    @property
    def lagging(self) -> bool:
        """Whether the process waits for a reader that does not keep up with it."""
        return self._budget.lagging

    def stop(self, reason: Problem) -> None:
        """End it early, from any thread: whoever reads on is told the first reason.

        Does nothing once the answer is over.

        Somebody must read on: a process that has not ended its answer after half a second is killed.
        """
        if self.over:
            return
        if self._reason is None:
            self._reason, self._stopped_at = reason, monotonic()
        self._process.interrupt(self._number)

    def drain(self) -> None:
        """Read what is left after `stop`, so that the process may be asked again."""
        with suppress(Problem):
            for frame in self:
                self.let_go(frame)

    def check(self) -> None:
        """See whether it keeps its bounds, and stop it where it does not."""
        if self._process.account.resident() > self._memory:
            self._process.stop(
                QueryTooLarge(
                    f"It needed more than {self._memory // 1024**2} MiB of memory and was stopped.",
                    next_step="Ask for less: fewer rows or columns, or a smaller join or sort.",
                )
            )
        elif self._reason is None:
            if (problem := self._budget.overstepped()) is not None:
                self.stop(problem)
        elif monotonic() - self._stopped_at > _GRACE:
            self._process.stop(self._reason)
        else:
            self._process.interrupt(self._number)  # one that comes before the work begins is lost

    def finish(self) -> None:
        """Nothing is owed any more."""
        WATCH.release(self)

    def _receive(self) -> Frame:
        if self.over and self._reason is not None:
            raise self._reason
        self._budget.wait()
        try:
            frame = self._process.next_frame()
        except Problem as problem:
            self.finish()
            raise self._reason or problem from None
        self._budget.arrive()
        return frame


def perform(
    role: Role,
    request: msgspec.Struct,
    *,
    read: Sequence[Path],
    write: Sequence[Path],
    limits: Limits,
    scratch: Path,
    process: ConfinedProcess | None = None,
    on_note: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    """Do one piece of work in a process of its own, and return the payload of its END.

    `process` is one of that role that was started before; it is closed here. `on_note` is given each NOTE. Raises what the process told, QueryTimedOut, QueryTooLarge,
    WorkerLost or ConfinementMissing. An exception from `on_note` kills the process.
    """
    process = process or ConfinedProcess.start(role, limits, scratch=scratch)
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

    Two libraries start threads when they are imported, which Landlock would then not bind. The C
    library keeps what a large result needed for its batches until the next, where it would otherwise
    ask the kernel for each of them.
    """
    return {
        "HOME": str(private),
        "TMPDIR": str(private),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
        "MALLOC_TRIM_THRESHOLD_": str(64 * 1024**2),
    }
