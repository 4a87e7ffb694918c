"""Queries wait for a worker in a line that takes the callers in turn, and leave it at any time."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from marketplace.engine.limits import Limits
from marketplace.engine.query import worker_pool
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.waiting_line import WaitingLine
from marketplace.engine.query.worker_pool import WorkerPool
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryStopped, ServiceBusy

CSV = Encoding(OutputFormat.CSV)
LARGE = "SELECT i, 'row ' || i AS text FROM range(3000000) t(i)"


@contextmanager
def pool(limits: Limits, scratch: Path, **options: float) -> Iterator[QueryWorkers]:
    settings = {"places": 1, "patience": 60.0} | options
    # With so small a spool a worker whose result nobody reads stays busy.
    limits = msgspec.structs.replace(limits, spool=1024**2)
    workers = QueryWorkers(limits, spares=0, scratch=scratch, **settings)  # type: ignore[arg-type]
    try:
        yield workers
    finally:
        workers.close()


def order_of(line: WaitingLine, taking: Counter[str] | None = None) -> str:
    """Serve the line to its end; who was served, in order, each of whom keeps the place."""
    held = Counter[str]() if taking is None else taking
    served = ""
    while (turn := line.next(lambda _: True, held.__getitem__)) is not None:
        line.leave(turn)
        held[turn.caller] += 1
        served += turn.caller
    return served


def test_callers_take_turns_however_many_queries_each_has() -> None:
    line = WaitingLine(most=10)
    for caller in "aaaabbc":
        line.join(caller)

    assert order_of(line) == "abcabaa"


def test_who_holds_least_comes_first() -> None:
    line = WaitingLine(most=10)
    for caller in "ab":
        line.join(caller)

    assert order_of(line, Counter(a=1)) == "ba"


def test_who_may_take_no_more_keeps_nobody_else_waiting() -> None:
    line = WaitingLine(most=10)
    line.join("a")
    other = line.join("b")

    assert line.next(lambda caller: caller != "a", lambda _: 0) is other


def test_a_full_line_turns_queries_away_with_a_word_on_when_to_come_back(
    limits: Limits, tmp_path: Path
) -> None:
    with (
        pool(limits, tmp_path, most_waiting=0) as workers,
        pytest.raises(ServiceBusy, match="service lets wait") as refused,
    ):
        workers.run((), "SELECT 1", CSV)

    assert refused.value.retry_after >= 1
    assert "second" in refused.value.next_step


class NotedCancellation(Cancellation):
    """Says when the query waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def check(self) -> None:
        self.waiting.set()
        super().check()


def test_a_query_that_is_cancelled_while_it_waits_leaves_the_line(
    limits: Limits, tmp_path: Path
) -> None:
    cancellation = NotedCancellation()
    with pool(limits, tmp_path) as workers, ThreadPoolExecutor(1) as threads:
        with workers.run((), LARGE, CSV):
            waiting = threads.submit(workers.run, (), "SELECT 1", CSV, cancellation=cancellation)
            assert cancellation.waiting.wait(20)
            cancellation.cancel()
            with pytest.raises(QueryStopped):
                waiting.result(timeout=20)
        with workers.run((), "SELECT 1", CSV) as after:
            assert b"".join(after)


def test_everybody_in_the_line_is_served_whoever_frees_a_place(
    limits: Limits, tmp_path: Path
) -> None:
    """A turn that nobody calls would wait for all of its patience, and then be refused."""

    def ask(caller: str) -> bytes:
        return b"".join(workers.run((), f"SELECT '{caller}' AS who", CSV, caller=caller))

    callers = [f"caller {number % 12}" for number in range(240)]
    with pool(limits, tmp_path, places=3) as workers, ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, callers, timeout=50))

    assert answers == [f'"who"\n"{caller}"\n'.encode() for caller in callers]


def test_of_queries_that_began_just_now_one_more_runs_than_there_are_processors(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_YOUNG", 1e6)
    with pool(limits, tmp_path, places=16, patience=0.2) as workers, ExitStack() as running:
        for number in range(len(os.sched_getaffinity(0)) + 1):
            running.enter_context(workers.run((), LARGE, CSV, caller=f"caller {number}"))
        with pytest.raises(ServiceBusy, match="Every query worker is taken"):
            workers.run((), "SELECT 1", CSV, caller="other")
        running.close()
        with workers.run((), "SELECT 1", CSV, caller="other") as after:
            assert b"".join(after)


def test_a_query_that_is_young_no_longer_lets_the_next_begin(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_YOUNG", 1e6)
    cancellation = NotedCancellation()
    with (
        pool(limits, tmp_path, places=16) as workers,
        ThreadPoolExecutor(1) as threads,
        ExitStack() as running,
    ):
        for number in range(len(os.sched_getaffinity(0)) + 1):
            running.enter_context(workers.run((), LARGE, CSV, caller=f"caller {number}"))
        waiting = threads.submit(
            workers.run, (), "SELECT 1", CSV, caller="other", cancellation=cancellation
        )
        assert cancellation.waiting.wait(20)
        monkeypatch.setattr(worker_pool, "_YOUNG", 0.0)
        assert b"".join(waiting.result(timeout=20))


def test_who_waits_is_told_when_the_service_stops(limits: Limits, tmp_path: Path) -> None:
    cancellation = NotedCancellation()
    with (
        ThreadPoolExecutor(1) as threads,
        pool(limits, tmp_path) as workers,
        workers.run((), LARGE, CSV),
    ):
        waiting = threads.submit(workers.run, (), "SELECT 1", CSV, cancellation=cancellation)
        assert cancellation.waiting.wait(20)
        workers.close()
        with pytest.raises(ServiceBusy, match="about to stop"):
            waiting.result(timeout=20)


def test_places_that_come_free_together_are_all_handed_on(limits: Limits, tmp_path: Path) -> None:
    pool = WorkerPool(limits, places=2, spares=0, scratch=tmp_path, memory=1024**3, most_waiting=9)

    def take(caller: str, cancellation: Cancellation) -> BoundWorker:
        return pool.take((), caller, patience=60.0, cancellation=cancellation)

    with closing(pool), ThreadPoolExecutor(2) as threads:
        busy = [take(caller, Cancellation()) for caller in "ab"]
        waiting = []
        for caller in "cd":
            joined = NotedCancellation()
            waiting.append(threads.submit(take, caller, joined))
            assert joined.waiting.wait(20)
        with pool._guard:  # so that nobody takes the one place before the other is free
            for worker in busy:
                pool.give_back(worker, fit=True)
        assert {served.result(timeout=20) for served in waiting} == set(busy)
