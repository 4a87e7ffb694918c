"""The pool of query workers: one view map each, for life.

A spare is a started process that holds no file yet. When a caller comes with a view map that no
idle worker is bound to, a spare is confined by the kernel to that map's files, opens its locked
DuckDB over them, and serves that map until it is the least recently used, is stopped, or is no
longer fit. No process ever sees the files of two maps.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Self

import msgspec

from catalogue.errors import Problem
from marketplace.engine.frames import FrameKind
from marketplace.engine.limits import Limits
from marketplace.engine.parse_messages import Parse
from marketplace.engine.process import Call, ConfinedProcess
from marketplace.engine.query_messages import Bind, Ended, OutputFormat, Run, TableFiles
from marketplace.engine.roles import Role
from marketplace.engine.statement import Statement, check_text, check_tree
from marketplace.engine.view_map import ViewMap, view_map
from marketplace.errors import QueryTooLarge, ServiceBusy, StatementRefused, WorkerLost

_PARSE_SECONDS = 10.0
_BIND_SECONDS = 30.0
_PARSES_KEPT = 512
_MOST_TREE_BYTES = 32 * 1024**2
_WEARY = 3, 4  # the share of its memory at which a worker has too little left for another query


class QueryWorkers:
    """Parses statements and runs them. Safe to share between threads.

    At most `bound_limit` workers are bound at a time, and one map may hold at most half of them, so
    that one busy caller leaves room for others; a query that finds none free waits up to `patience`
    seconds for one. `spares` processes are kept warm. `scratch` is a folder for private spill files.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        bound_limit: int,
        spares: int,
        scratch: Path,
        patience: float = 10.0,
    ) -> None:
        self._limits = limits
        self._patience = patience
        self._pool = _Pool(limits, bound_limit, spares, scratch)
        self._parser = _Parser(limits, scratch)

    @property
    def confinement(self) -> str:
        """What the kernel holds a worker to, in words; empty before the first statement."""
        return self._parser.confinement

    def start(self) -> Self:
        """Start the processes ahead of the first statement.

        Raises ConfinementMissing where the limits require what this kernel does not have.
        """
        self._parser.start()
        self._pool.refill()
        return self

    def parse(self, sql: str) -> Statement:
        """Parse and check a statement in a worker that holds no file. Raises StatementRefused."""
        return self._parser.parse(sql)

    def run(
        self, views: ViewMap, sql: str, output: OutputFormat, *, deadline: float | None = None
    ) -> "ResultStream":
        """Run a statement that `parse` let through over the tables of `views`, and nothing else.

        Waits for the first bytes of the result, so that an error before them is raised here:
        QueryFailed, QueryTimedOut, QueryTooLarge, WorkerLost, or ServiceBusy. `deadline` is in
        seconds of work, waiting for a worker included.
        """
        deadline = self._limits.deadline if deadline is None else deadline
        began = monotonic()
        worker = self._pool.take(view_map(views), patience=min(self._patience, deadline))
        left = max(deadline - (monotonic() - began), 0.001)
        try:
            call = worker.run(sql, output, left)
        except BaseException:
            self._pool.give_back(worker, fit=False)
            raise
        return ResultStream(self._pool, worker, call, self._limits).begin()

    def close(self) -> None:
        """End every process."""
        self._pool.close()
        self._parser.close()


class ResultStream(Iterator[bytes]):
    """The bytes of one encoded result, in pieces of about a mebibyte.

    Only an iteration that ends without raising was complete; then `rows` and `bytes` are what it
    had. Raises QueryFailed, QueryTimedOut, QueryTooLarge or WorkerLost. Close it in any case: where
    the result is not at its end this kills the worker at once, also from another thread.
    """

    def __init__(self, pool: "_Pool", worker: "_BoundWorker", call: Call, limits: Limits) -> None:
        self._pool = pool
        self._worker = worker
        self._call = call
        self._most = limits.result
        self._first: bytes | None = None
        self._complete = False
        self._closed = False
        self._closing = threading.Lock()
        self.rows = 0
        self.bytes = 0

    @property
    def pid(self) -> int:
        """The number of the process that writes the result."""
        return self._worker.pid

    def begin(self) -> Self:
        """Wait for the first bytes, or raise the error in their place."""
        self._first = self._receive()
        return self

    def __next__(self) -> bytes:
        """The next piece."""
        piece, self._first = self._first, None
        if piece is None and not self._complete:
            piece = self._receive()
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """End it; the worker is kept only where it has ended its answer by itself."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._pool.give_back(self._worker, fit=self._call.over)

    def __enter__(self) -> Self:
        """Closes itself at the end of a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _receive(self) -> bytes | None:
        """The next piece, or None at a proven end."""
        try:
            for frame in self._call:
                if frame.kind is FrameKind.DATA:
                    self.bytes += len(frame.payload)
                    self._check_size()
                    return frame.payload
            self._end(_decode_end(self._call.end))
        except BaseException:
            self.close()
            raise
        self.close()
        return None

    def _end(self, ended: Ended) -> None:
        if ended.bytes != self.bytes:
            raise WorkerLost("The result does not have the bytes that its end says.")
        self.rows = ended.rows
        self._complete = True

    def _check_size(self) -> None:
        if self.bytes > self._most:
            raise QueryTooLarge(
                f"The result has more than {self._most // 1024**2} MiB.",
                next_step="Ask for fewer rows or columns, or for an aggregate.",
            )


class _BoundWorker:
    """A process bound to one view map."""

    def __init__(self, process: ConfinedProcess, views: ViewMap, limits: Limits) -> None:
        self.views = views
        self._process = process
        self._limits = limits
        self._used = False
        self._confined_to = _identities(views)

    @property
    def pid(self) -> int:
        return self._process.pid

    def bind(self) -> None:
        """Confine the process to the files of the map, for good, and open its instance."""
        self._process.warm()
        files = [path for table in self.views for path in table.files]
        self._process.confine(read=files)
        tables = tuple(
            TableFiles(
                organisation=table.address.organisation,
                dataset=table.address.dataset,
                name=table.address.name,
                short=table.short,
                files=tuple(str(path.resolve()) for path in table.files),
            )
            for table in self.views
        )
        for _ in self._process.call(Bind(tables), deadline=_BIND_SECONDS):
            raise WorkerLost("A worker sent bytes where none belong.")
        if not self._process.settle():
            raise WorkerLost("A worker was not fit after it was bound.")

    def run(self, sql: str, output: OutputFormat, deadline: float) -> Call:
        self._used = True
        return self._process.call(Run(sql, output), deadline=deadline)

    def fit(self) -> bool:
        """Whether another query may run here; waits until the worker has looked at itself."""
        if self._used and not self._process.settle():
            return False
        if self._confined_to != _identities(self.views):
            return False
        share, of = _WEARY
        return self._process.alive and self._process.resident() * of < self._limits.memory * share

    def close(self) -> None:
        self._process.close()


class _Pool:
    """Which workers are idle, which are busy, and which spares wait to be bound."""

    def __init__(self, limits: Limits, bound_limit: int, spares: int, scratch: Path) -> None:
        self._limits = limits
        self._bound_limit = bound_limit
        self._spare_count = spares
        self._scratch = scratch
        self._changed = threading.Condition()
        self._idle: OrderedDict[_BoundWorker, None] = OrderedDict()  # least recently used first
        self._busy: set[_BoundWorker] = set()
        self._binding: list[ViewMap] = []
        self._spares: deque[ConfinedProcess] = deque()
        self._starting = 0
        self._closed = False

    def take(self, views: ViewMap, *, patience: float) -> _BoundWorker:
        """A worker bound to `views` that no other query uses. Raises ServiceBusy."""
        until = monotonic() + patience
        while True:
            worker, evicted = self._idle_or_place(views, until)
            for other in evicted:
                other.close()
            if worker is None:
                worker = self._bind(views)
                self.refill()
                return worker
            if worker.fit():
                return worker
            self.give_back(worker, fit=False)

    def give_back(self, worker: _BoundWorker, *, fit: bool) -> None:
        """Keep a worker that may be asked again, end any other."""
        with self._changed:
            self._busy.discard(worker)
            kept = fit and not self._closed
            if kept:
                self._idle[worker] = None
            self._changed.notify_all()
        if not kept:
            worker.close()

    def refill(self) -> None:
        """Start spares until there are as many as there should be."""
        with self._changed:
            missing = self._spare_count - len(self._spares) - self._starting
            missing = 0 if self._closed else max(missing, 0)
            self._starting += missing
        for _ in range(missing):
            try:
                self._keep_spare(self._start_spare())
            finally:
                with self._changed:
                    self._starting -= 1

    def close(self) -> None:
        with self._changed:
            self._closed = True
            ended: list[_BoundWorker | ConfinedProcess] = [*self._idle, *self._busy, *self._spares]
            self._idle.clear()
            self._spares.clear()
            self._changed.notify_all()
        for process in ended:
            process.close()

    def _idle_or_place(
        self, views: ViewMap, until: float
    ) -> tuple[_BoundWorker | None, list[_BoundWorker]]:
        """An idle worker of this map, or None and what gave way for another to be bound."""
        with self._changed:
            while not self._closed:
                worker = next((w for w in reversed(self._idle) if w.views == views), None)
                if worker is not None:
                    del self._idle[worker]
                    self._busy.add(worker)
                    return worker, []
                if self._may_bind(views):
                    self._binding.append(views)
                    return None, self._evict()
                if not self._changed.wait(timeout=until - monotonic()) and monotonic() >= until:
                    break
        raise ServiceBusy("Every query worker is taken.", next_step="Try again in a moment.")

    def _may_bind(self, views: ViewMap) -> bool:
        taken = [*(worker.views for worker in self._busy), *self._binding]
        of_this_map = max(1, self._bound_limit // 2)
        return len(taken) < self._bound_limit and taken.count(views) < of_this_map

    def _evict(self) -> list[_BoundWorker]:
        evicted = []
        while len(self._busy) + len(self._binding) + len(self._idle) > self._bound_limit:
            evicted.append(self._idle.popitem(last=False)[0])
        return evicted

    def _bind(self, views: ViewMap) -> _BoundWorker:
        spare = None
        worker = None
        try:
            spare = self._take_spare()
            worker = _BoundWorker(spare, views, self._limits)
            worker.bind()
        except BaseException:
            worker = None
            if spare is not None:
                spare.close()
            raise
        finally:
            with self._changed:
                self._binding.remove(views)
                if worker is not None:
                    self._busy.add(worker)
                self._changed.notify_all()
        return worker

    def _take_spare(self) -> ConfinedProcess:
        with self._changed:
            spare = self._spares.popleft() if self._spares else None
        return spare or self._start_spare()

    def _keep_spare(self, spare: ConfinedProcess) -> None:
        with self._changed:
            if not self._closed:
                self._spares.append(spare)
                return
        spare.close()

    def _start_spare(self) -> ConfinedProcess:
        return ConfinedProcess.start(Role.QUERY, self._limits, scratch=self._scratch)


class _Parser:
    """One process that parses, replaced when it is lost; what it found is kept for a while."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._limits = limits
        self._scratch = scratch
        self._lock = threading.Lock()
        self._process: ConfinedProcess | None = None
        self._known: OrderedDict[str, Statement] = OrderedDict()
        self.confinement = ""

    def start(self) -> None:
        with self._lock:
            self._ready()

    def parse(self, sql: str) -> Statement:
        check_text(sql)
        with self._lock:
            if sql in self._known:
                self._known.move_to_end(sql)
                return self._known[sql]
            tree = self._tree(sql)
        statement = check_tree(sql, tree)
        with self._lock:
            self._known[sql] = statement
            if len(self._known) > _PARSES_KEPT:
                self._known.popitem(last=False)
        return statement

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process = None

    def _tree(self, sql: str) -> bytes:
        process = self._ready()
        call = process.call(Parse(sql), deadline=_PARSE_SECONDS)
        try:
            tree = b"".join(_bounded(call, _MOST_TREE_BYTES))
        except StatementRefused:
            self._settle(process)
            raise
        except Problem as problem:
            self._drop(process)
            raise StatementRefused(
                "The statement could not be parsed in the time and memory that are given for it.",
                next_step="Write it more simply.",
            ) from problem
        self._settle(process)
        return tree

    def _ready(self) -> ConfinedProcess:
        if self._process is None:
            process = ConfinedProcess.start(Role.PARSE, self._limits, scratch=self._scratch)
            try:
                process.warm()
                self.confinement = process.confine()
            except BaseException:
                process.close()
                raise
            self._process = process
        return self._process

    def _settle(self, process: ConfinedProcess) -> None:
        if not process.settle():
            self._drop(process)

    def _drop(self, process: ConfinedProcess) -> None:
        process.close()
        self._process = None


def _identities(views: ViewMap) -> list[tuple[int, int] | None]:
    """Which files the paths are now: the kernel's rules hold for files, not for their names, and a
    cache may have dropped one and fetched it again."""
    found: list[tuple[int, int] | None] = []
    for path in (path for table in views for path in table.files):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return found


def _bounded(call: Call, most: int) -> Iterator[bytes]:
    size = 0
    for frame in call:
        size += len(frame.payload)
        if size > most:
            raise QueryTooLarge("The tree of the statement is too large.")
        yield frame.payload


def _decode_end(payload: bytes | None) -> Ended:
    try:
        return msgspec.msgpack.decode(payload or b"", type=Ended)
    except msgspec.DecodeError:
        raise WorkerLost("The end of the result cannot be read.") from None
