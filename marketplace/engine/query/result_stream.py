"""One encoded result on its way from the worker that writes it to whoever reads it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeAlias

import msgspec

from catalogue.errors import Problem
from marketplace.engine.frames import Frame, FrameKind
from marketplace.engine.limits import Limits, ResultLimit
from marketplace.engine.process import Call
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.query_messages import Ended
from marketplace.engine.query.spool import Spool
from marketplace.engine.query.worker_pool import WorkerPool
from marketplace.engine.watch import WATCH
from marketplace.errors import QueryTooLarge, WorkerLost

Take: TypeAlias = Callable[[bytes | memoryview], list[bytes]]
"""Takes a piece, and returns copies of what it left of it."""


class ResultStream(Iterator[bytes]):
    """The bytes of one encoded result, in pieces of eight mebibytes at most.

    Only an iteration that ends without raising was complete; then `rows` and `bytes` are what it
    had. Raises QueryFailed, QueryTimedOut, QueryTooLarge or WorkerLost. Close it in any case: where
    the result is not at its end this stops the work within half a second, also from another thread.

    With the last piece comes the proof that it was the last: then the worker is free, and `size` is
    known. The pieces come straight from the worker as long as its reader keeps up. Behind a reader
    that does not, a thread takes what comes into a spool, so that the worker is free for others.
    """

    def __init__(
        self,
        pool: WorkerPool,
        worker: BoundWorker,
        call: Call,
        *,
        limits: Limits,
        most: ResultLimit,
        scratch: Path,
    ) -> None:
        self._pool = pool
        self._worker = worker
        self._call = call
        self._limits = limits
        self._agreed_bytes = most.bytes
        self._scratch = scratch
        self._first: Frame | None = None
        self._spool: Spool | None = None
        self._complete = False  # what the worker had to send
        self._finished = False  # what the reader had to get
        self._released = False
        self._closed = False
        self._free = threading.Event()
        self._guard = threading.Lock()
        self._reading = threading.RLock()
        self._rows = 0
        self.bytes = 0

    @property
    def pid(self) -> int:
        """The number of the process that writes the result."""
        return self._worker.pid

    @property
    def rows(self) -> int:
        """How many rows the reader has got; told when they have got all of them."""
        return self._rows if self._finished else 0

    @property
    def size(self) -> int | None:
        """The bytes of all of it, once the worker has sent them and proven that they are all."""
        return self.bytes if self._complete else None

    def begin(self) -> Self:
        """Wait for the first bytes, or raise the error in their place."""
        self._first = self._from_worker()
        if not self._complete:
            WATCH.guard(self)
        return self

    def __next__(self) -> bytes:
        """The next piece."""
        frame = self._advance()
        if frame is None:
            raise StopIteration
        return self._taken(frame)

    def relay(self, take: Take) -> list[bytes]:
        """Give piece after piece to `take` while it leaves nothing; what it left of one, or nothing at
        the end. Goes on after that piece when called again.

        A piece is where the worker wrote it, of use until `take` returns, and the worker could
        change it meanwhile: to be sent on, not to be parsed.
        """
        left: list[bytes] = []
        while not left and (frame := self._advance()) is not None:
            try:
                left = take(frame.payload if frame.place is None else frame.place.view)
            finally:
                self._call.let_go(frame)
        return left

    def _advance(self) -> Frame | None:
        try:
            frame = self._next()
        except BaseException:
            self.close()
            raise
        if frame is None:
            self.close()
        return frame

    def _taken(self, frame: Frame) -> bytes:
        if frame.place is None:
            return frame.payload
        try:
            return bytes(frame.place.view)
        finally:
            self._call.let_go(frame)

    def stop(self, reason: Problem) -> None:
        """Stop the work while it is this stream's; whoever waits for bytes gets the reason."""
        if not self._released:
            self._call.stop(reason)
        if self._spool is not None:
            self._spool.fail(reason)

    def close(self) -> None:
        """End it; the worker is kept only where it ends its answer by itself."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        WATCH.release(self)
        self.stop(WorkerLost("The stream was closed before its end."))
        with self._reading:  # who waits for bytes reads on until the worker has stopped
            first, self._first = self._first, None
            if first is not None:
                self._call.let_go(first)
            if self._spool is None:
                self._release()
            else:
                self._spool.leave()
        self._free.wait()

    def check(self) -> None:
        """Spool the rest where the reader does not keep up; the watch asks."""
        if self._call.lagging:
            WATCH.release(self)
            threading.Thread(target=self._spool_rest, name="spool", daemon=True).start()

    def __enter__(self) -> Self:
        """Closes itself at the end of a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _next(self) -> Frame | None:
        with self._reading:
            frame, self._first = self._first, None
            if frame is None and not self._finished:
                frame = self._from_worker() if self._spool is None else self._from_spool()
                self._finished = frame is None
            return frame

    def _from_spool(self) -> Frame | None:
        piece = None if self._spool is None else self._spool.read()
        return None if piece is None else Frame(FrameKind.DATA, piece)

    def _spool_rest(self) -> None:
        with self._reading:
            if self._released or self._closed:
                return
            self._spool = spool = Spool(self._scratch, self._limits.spool)
        try:
            while (frame := self._from_worker()) is not None:
                spool.write(self._taken(frame))
            spool.end()
        except Problem as problem:
            spool.fail(problem)
        finally:
            self._release()
            spool.leave()

    def _from_worker(self) -> Frame | None:
        """The next piece, or None at a proven end."""
        if self._complete:
            return None
        try:
            frame = self._piece()
            if frame is None or frame.kind is FrameKind.LAST:
                self._end()
        except BaseException:
            self._release()
            raise
        return frame

    def _piece(self) -> Frame | None:
        for frame in self._call:
            if frame.kind in (FrameKind.DATA, FrameKind.LAST):
                self.bytes += frame.size
                try:
                    self._check_size()
                except QueryTooLarge:
                    self._call.let_go(frame)
                    raise
                return frame
        return None

    def _release(self) -> None:
        """Give the worker back, once; by whoever reads from it."""
        with self._guard:
            if self._released:
                return
            self._released = True
        WATCH.release(self)
        self._call.stop(WorkerLost("The stream was closed before its end."))
        self._call.drain()
        self._pool.give_back(self._worker, fit=self._call.over)
        self._free.set()

    def _end(self) -> None:
        for _ in self._call:
            raise WorkerLost("The worker sent something after the last piece of its result.")
        ended = _decode_end(self._call.end)
        if ended.bytes != self.bytes:
            raise WorkerLost("The result does not have the bytes that its end says.")
        self._rows = ended.rows
        self._complete = True
        self._release()

    def _check_size(self) -> None:
        if self._agreed_bytes is not None and self.bytes > self._agreed_bytes:
            raise QueryTooLarge(
                f"The result has more than {self._agreed_bytes:,} bytes, the most that the "
                "agreement lets out at once.",
                next_step="Ask for fewer rows or columns, or for an aggregate.",
            )
        if self.bytes > self._limits.result:
            raise QueryTooLarge(
                f"The result has more than {self._limits.result // 1024**2} MiB.",
                next_step="Ask for fewer rows or columns, or for an aggregate.",
            )


def _decode_end(payload: bytes | None) -> Ended:
    try:
        return msgspec.msgpack.decode(payload or b"", type=Ended)
    except msgspec.DecodeError:
        raise WorkerLost("The end of the result cannot be read.") from None
