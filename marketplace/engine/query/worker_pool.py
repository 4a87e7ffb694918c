"""Which query workers are idle, which are busy, and which spares wait to be bound."""

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from marketplace.admission import Turnover, busy
from marketplace.engine.limits import Limits
from marketplace.engine.process import ConfinedProcess
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.usage import Usage
from marketplace.engine.query.view_map import ViewMap
from marketplace.engine.query.waiting_line import Turn, WaitingLine
from marketplace.engine.roles import Role
from marketplace.engine.watch import WATCH
from marketplace.errors import ServiceBusy, WorkerLost

_YOUNG = 0.1  # seconds in which most queries end
_LIGHT = 0.1  # of long queries lately, up to which a caller's queries need not yield to others
_MOST_IDLE = 64  # workers, for each has six files open here


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A place that a caller has held since a moment, for a worker that is busy or being bound."""

    caller: str
    since: float
    yields: bool


class WorkerPool:
    """Workers by the one view map that each is bound to. Safe to share between threads.

    At most `places` are busy at a time, and of those that began just now only one more than there
    are processors: short queries get done sooner one after the other, by fewer workers. Idle ones
    are kept for the next query on their map while all together hold at most `memory` bytes;
    `most_waiting` queries may stand in line for a place.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        places: int,
        spares: int,
        scratch: Path,
        memory: int,
        most_waiting: int,
    ) -> None:
        self._limits = limits
        self._places = places
        self._most_young = len(os.sched_getaffinity(0)) + 1
        self._spare_count = spares
        self._scratch = scratch
        self._memory = memory
        self._line = WaitingLine(most_waiting)
        self._guard = self._line.guard
        self._usage = Usage()
        self._turnover = Turnover()
        # Least recently used first, with the memory that each held when it was given back.
        self._idle: OrderedDict[BoundWorker, int] = OrderedDict()
        self._busy: dict[BoundWorker, Place] = {}
        self._binding: list[Place] = []
        self._spares: deque[ConfinedProcess] = deque()
        self._starting = 0
        self._closed = False

    def take(
        self,
        views: ViewMap,
        caller: str,
        *,
        patience: float,
        cancellation: Cancellation,
        fresh: bool = False,
    ) -> BoundWorker:
        """A worker bound to `views` that no other query uses; `fresh`: one that never ran any.

        Raises ServiceBusy where every place is taken, or this caller's half of them, for `patience`
        seconds, or too many wait already; QueryStopped where `cancellation` says so meanwhile.
        """
        until = monotonic() + patience
        while True:
            worker, place = self._idle_or_place(views, caller, until, cancellation, fresh=fresh)
            if worker is None:
                worker = self._bind(views, place, cancellation)
                if not worker.yields:
                    self.refill()
                return worker
            if worker.fit():  # what it did until now was not for this query
                worker.begin_account()
                return worker
            self.give_back(worker, fit=False)

    def give_back(self, worker: BoundWorker, *, fit: bool) -> None:
        """Keep a worker that may be asked again, end any other."""
        worker.rest()
        memory = worker.own_memory()
        with self._guard:
            place = self._busy.pop(worker, None)
            if place is not None:
                self._turnover.note(monotonic() - place.since)
                self._usage.note(place.caller, worker.end_account())
            kept = fit and not self._closed
            if kept:
                self._idle[worker] = memory
            self._call_next()
        if not kept:
            worker.close()

    def check(self) -> None:
        """Keep the pool's order; the watch asks while a place is taken, and once more after that.

        Whose query is young no longer lets the next of the line begin.
        Busy workers of callers who took much of the processors lately yield to others if there are
        any, and idle ones that were not used for longest end while all hold too much memory.
        """
        ended = []
        with self._guard:
            for worker, place in self._busy.items():
                self._usage.note(place.caller, worker.overspent())
                if self._must_yield(place.caller):
                    worker.yield_to_others()
            held = sum(self._idle.values()) + sum(worker.own_memory() for worker in self._busy)
            while self._idle and (held > self._memory or len(self._idle) > _MOST_IDLE):
                worker, memory = self._idle.popitem(last=False)
                ended.append(worker)
                held -= memory
            self._call_next()
            if not self._busy and not self._binding:
                WATCH.release(self)
        if ended:  # the watch has no time to wait for a large process to go
            threading.Thread(target=_close_all, args=(ended,), name="closing").start()

    def refill(self) -> None:
        """Start spares until there are as many as there should be."""
        with self._guard:
            missing = self._spare_count - len(self._spares) - self._starting
            missing = 0 if self._closed else max(missing, 0)
            self._starting += missing
        for _ in range(missing):
            try:
                self._keep_spare(self._start_spare())
            finally:
                with self._guard:
                    self._starting -= 1

    def close(self) -> None:
        """End every process, whether it is busy or not."""
        with self._guard:
            self._closed = True
            ended: list[BoundWorker | ConfinedProcess] = [*self._idle, *self._busy, *self._spares]
            self._idle.clear()
            self._spares.clear()
            for turn in self._line:
                turn.call()
        for process in ended:
            process.close()

    def _idle_or_place(
        self,
        views: ViewMap,
        caller: str,
        until: float,
        cancellation: Cancellation,
        *,
        fresh: bool,
    ) -> tuple[BoundWorker | None, Place]:
        """An idle worker of this map, or None and a place for one that is to be bound."""
        with self._guard:
            try:
                self._usage.ask(caller)
                self._await_turn(caller, until, cancellation)
                place = Place(caller, monotonic(), yields=self._must_yield(caller))
                worker = self._idle_on(views, yields=place.yields)
                WATCH.guard(self)
                if worker is None or fresh:
                    self._binding.append(place)
                    return None, place
                if place.yields:
                    worker.yield_to_others()
                del self._idle[worker]
                self._busy[worker] = place
                return worker, place
            finally:
                self._call_next()  # there may be a place for that one too

    def _must_yield(self, caller: str) -> bool:
        return self._usage.of(caller) > _LIGHT and not self._usage.alone(caller)

    def _idle_on(self, views: ViewMap, *, yields: bool) -> BoundWorker | None:
        """One of this map; who took much lately gets one that yields to others rather than make
        another do so, and who did not never gets such a one."""
        idle = [worker for worker in reversed(self._idle) if worker.views == views]
        fitting = [worker for worker in idle if worker.yields == yields]
        return next(iter(fitting or (idle if yields else [])), None)

    def _await_turn(self, caller: str, until: float, cancellation: Cancellation) -> None:
        if self._line.full:
            raise self._refusal("As many queries wait for a worker as the service lets wait.")
        turn = self._line.join(caller)
        cancellation.attach(lambda _: self._wake(turn))
        try:
            while self._line.next(self._may_take, self._held) is not turn:
                cancellation.check()
                if self._closed:
                    raise ServiceBusy("The service is about to stop.")
                if monotonic() >= until:
                    raise self._refusal("Every query worker is taken.")
                turn.wait(max(until - monotonic(), 0))
            cancellation.check()
        finally:
            cancellation.detach()
            self._line.leave(turn)

    def _refusal(self, detail: str) -> ServiceBusy:
        return busy(detail, self._turnover.wait(len(self._line), self._places))

    def _may_take(self, caller: str) -> bool:
        taken = self._taken()
        began = monotonic() - _YOUNG
        return (
            len(taken) < self._places
            and self._held(caller) < max(1, self._places // 2)
            and sum(place.since > began for place in taken) < self._most_young
        )

    def _held(self, caller: str) -> int:
        return sum(place.caller == caller for place in self._taken())

    def _taken(self) -> tuple[Place, ...]:
        return (*self._busy.values(), *self._binding)

    def _wake(self, turn: Turn) -> None:
        with self._guard:
            turn.call()

    def _call_next(self) -> None:
        """Wake the one query whose turn it is; to be asked after whatever may have made it so."""
        turn = self._line.next(self._may_take, self._held)
        if turn is not None:
            turn.call()

    def _bind(self, views: ViewMap, place: Place, cancellation: Cancellation) -> BoundWorker:
        worker = None
        try:
            try:
                worker = self._bound(self._take_spare(place), views, place, cancellation)
            except WorkerLost:  # the kernel may kill a spare at any moment until it is bound
                worker = self._bound(self._start_spare(), views, place, cancellation)
        finally:
            with self._guard:
                self._binding.remove(place)
                if worker is not None:
                    worker.begin_account()
                    self._busy[worker] = place
                    WATCH.guard(self)
                self._call_next()
        return worker

    def _bound(
        self, spare: ConfinedProcess, views: ViewMap, place: Place, cancellation: Cancellation
    ) -> BoundWorker:
        worker = BoundWorker(spare, views, self._limits)
        try:
            if place.yields:
                worker.yield_to_others()
            cancellation.attach(worker.stop)
            worker.bind()
        except BaseException:
            worker.close()
            raise
        finally:
            cancellation.detach()
        return worker

    def _take_spare(self, place: Place) -> ConfinedProcess:
        """A spare that still runs, or a new one: the kernel may have killed one while it waited.

        Who must yield to others takes none from them, and so starts no other in its place.
        """
        while not place.yields:
            with self._guard:
                spare = self._spares.popleft() if self._spares else None
            if spare is None:
                return self._start_spare()
            if spare.alive:
                return spare
            spare.close()
        return self._start_spare()

    def _keep_spare(self, spare: ConfinedProcess) -> None:
        with self._guard:
            if not self._closed:
                self._spares.append(spare)
                return
        spare.close()

    def _start_spare(self) -> ConfinedProcess:
        return ConfinedProcess.start(Role.QUERY, self._limits, scratch=self._scratch)


def _close_all(workers: Iterable[BoundWorker]) -> None:
    for worker in workers:
        worker.close()
