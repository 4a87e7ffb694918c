"""Which query workers are idle, which are busy, and which spares wait to be bound."""

import threading
from collections import OrderedDict, deque
from pathlib import Path
from time import monotonic

from catalogue.errors import Problem
from marketplace.engine.limits import Limits
from marketplace.engine.process import Call, ConfinedProcess
from marketplace.engine.query.query_messages import Bind, Describe, Run, TableFiles
from marketplace.engine.query.view_map import ViewMap
from marketplace.engine.roles import Role
from marketplace.errors import ServiceBusy, WorkerLost

_BIND_SECONDS = 30.0
_WEARY = 3, 4  # the share of its memory at which a worker has too little left for another query


class BoundWorker:
    """A process bound to one view map."""

    def __init__(self, process: ConfinedProcess, views: ViewMap, limits: Limits) -> None:
        self.views = views
        self._process = process
        self._limits = limits
        self._used = False
        self._confined_to = _identities(views)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def used(self) -> bool:
        """Whether a statement has run here."""
        return self._used

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

    def run(self, request: Run | Describe, deadline: float) -> Call:
        """Begin a statement; one at a time."""
        self._used = True
        return self._process.call(request, deadline=deadline)

    def fit(self) -> bool:
        """Whether another query may run here; waits until the worker has looked at itself."""
        if self._used and not self._process.settle():
            return False
        if self._confined_to != _identities(self.views):
            return False
        share, of = _WEARY
        return self._process.alive and self._process.resident() * of < self._limits.memory * share

    def stop(self, reason: Problem) -> None:
        """Kill the process, from any thread; whoever waits for its answer is told the reason."""
        self._process.stop(reason)

    def close(self) -> None:
        """End the process."""
        self._process.close()


class WorkerPool:
    """Workers by the one view map that each is bound to. Safe to share between threads."""

    def __init__(self, limits: Limits, bound_limit: int, spares: int, scratch: Path) -> None:
        self._limits = limits
        self._bound_limit = bound_limit
        self._spare_count = spares
        self._scratch = scratch
        self._changed = threading.Condition()
        self._idle: OrderedDict[BoundWorker, None] = OrderedDict()  # least recently used first
        self._busy: dict[BoundWorker, str] = {}  # and for whom
        self._binding: list[str] = []  # for whom places are held
        self._spares: deque[ConfinedProcess] = deque()
        self._starting = 0
        self._closed = False

    def take(
        self, views: ViewMap, caller: str, *, patience: float, fresh: bool = False
    ) -> BoundWorker:
        """A worker bound to `views` that no other query uses; `fresh`: one that never ran any.

        Raises ServiceBusy where every place is taken, or this caller's half of them.
        """
        until = monotonic() + patience
        while True:
            worker, evicted = self._idle_or_place(views, caller, until, fresh=fresh)
            for other in evicted:
                other.close()
            if worker is None:
                worker = self._bind(views, caller)
                self.refill()
                return worker
            if worker.fit():
                return worker
            self.give_back(worker, fit=False)

    def give_back(self, worker: BoundWorker, *, fit: bool) -> None:
        """Keep a worker that may be asked again, end any other."""
        with self._changed:
            self._busy.pop(worker, None)
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
        """End every process, whether it is busy or not."""
        with self._changed:
            self._closed = True
            ended: list[BoundWorker | ConfinedProcess] = [*self._idle, *self._busy, *self._spares]
            self._idle.clear()
            self._spares.clear()
            self._changed.notify_all()
        for process in ended:
            process.close()

    def _idle_or_place(
        self, views: ViewMap, caller: str, until: float, *, fresh: bool
    ) -> tuple[BoundWorker | None, list[BoundWorker]]:
        """An idle worker of this map, or None and what gave way for another to be bound."""
        with self._changed:
            while not self._closed:
                if self._may_take(caller):
                    worker = next((w for w in reversed(self._idle) if w.views == views), None)
                    if worker is not None and not fresh:
                        del self._idle[worker]
                        self._busy[worker] = caller
                        return worker, []
                    self._binding.append(caller)
                    return None, self._evict()
                if not self._changed.wait(timeout=until - monotonic()) and monotonic() >= until:
                    break
        raise ServiceBusy("Every query worker is taken.", next_step="Try again in a moment.")

    def _may_take(self, caller: str) -> bool:
        taken = [*self._busy.values(), *self._binding]
        of_one_caller = max(1, self._bound_limit // 2)
        return len(taken) < self._bound_limit and taken.count(caller) < of_one_caller

    def _evict(self) -> list[BoundWorker]:
        evicted = []
        while len(self._busy) + len(self._binding) + len(self._idle) > self._bound_limit:
            evicted.append(self._idle.popitem(last=False)[0])
        return evicted

    def _bind(self, views: ViewMap, caller: str) -> BoundWorker:
        worker = None
        try:
            try:
                worker = self._bound(self._take_spare(), views)
            except WorkerLost:  # the kernel may kill a spare at any moment until it is bound
                worker = self._bound(self._start_spare(), views)
        finally:
            with self._changed:
                self._binding.remove(caller)
                if worker is not None:
                    self._busy[worker] = caller
                self._changed.notify_all()
        return worker

    def _bound(self, spare: ConfinedProcess, views: ViewMap) -> BoundWorker:
        worker = BoundWorker(spare, views, self._limits)
        try:
            worker.bind()
        except BaseException:
            worker.close()
            raise
        return worker

    def _take_spare(self) -> ConfinedProcess:
        """A spare that still runs, or a new one: the kernel may have killed one while it waited."""
        while True:
            with self._changed:
                spare = self._spares.popleft() if self._spares else None
            if spare is None:
                return self._start_spare()
            if spare.alive:
                return spare
            spare.close()

    def _keep_spare(self, spare: ConfinedProcess) -> None:
        with self._changed:
            if not self._closed:
                self._spares.append(spare)
                return
        spare.close()

    def _start_spare(self) -> ConfinedProcess:
        return ConfinedProcess.start(Role.QUERY, self._limits, scratch=self._scratch)


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
