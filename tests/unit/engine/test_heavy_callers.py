"""Who takes much of the processors has what others leave; nobody else is served by such a worker."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from marketplace.engine.limits import Limits
from marketplace.engine.process import ConfinedProcess
from marketplace.engine.query import usage
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.usage import Usage
from marketplace.engine.query.workers import QueryWorkers

CSV = Encoding(OutputFormat.CSV)
LONG = "SELECT sum(hash(i)) AS s FROM range(300000000) t(i)"


@pytest.fixture
def workers(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[QueryWorkers]:
    monkeypatch.setattr(usage, "_PRESENT", 1e6)
    monkeypatch.setattr(usage, "_HALF_LIFE", 1e6)  # nothing is forgotten while a process starts
    pool = QueryWorkers(limits, places=4, spares=0, scratch=tmp_path)
    yield pool
    pool.close()


def worker_for(workers: QueryWorkers, caller: str, sql: str = "SELECT 1") -> int:
    with workers.run((), sql, CSV, caller=caller) as stream:
        assert b"".join(stream)
    return stream.pid


def yields(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {os.sched_getscheduler(int(thread.name)) for thread in threads} == {os.SCHED_IDLE}


def test_short_queries_need_not_yield(workers: QueryWorkers) -> None:
    assert len({worker_for(workers, "ann") for _ in range(20)}) == 1
    assert not yields(worker_for(workers, "ann"))


def test_who_is_alone_has_nobody_to_yield_to(workers: QueryWorkers) -> None:
    assert not yields(worker_for(workers, "ann", LONG))


def test_a_long_query_yields_to_the_queries_of_others(workers: QueryWorkers) -> None:
    worker_for(workers, "ben")
    heavy = worker_for(workers, "ann", LONG)

    assert yields(heavy)
    assert worker_for(workers, "ann") == heavy
    light = worker_for(workers, "ben")
    assert light != heavy
    assert not yields(light)


def test_who_ran_long_queries_lately_begins_the_next_one_yielding(workers: QueryWorkers) -> None:
    worker_for(workers, "ben")
    worker_for(workers, "ann", LONG)
    with (
        workers.run((), "FROM range(3000000)", CSV, caller="ann") as first,
        workers.run((), "SELECT 1", CSV, caller="ann") as second,
    ):
        assert second.pid != first.pid
        assert yields(second.pid)


def test_what_a_caller_took_is_forgotten_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(usage, "monotonic", lambda: clock[0])
    spent = Usage()
    spent.note("ann", 8.0)
    clock[0] += 10.0
    spent.note("ann", 1.0)

    assert spent.of("ann") == pytest.approx(3.0)
    assert spent.of("ben") == 0.0
    clock[0] += 100.0
    assert spent.of("ann") == 0.0


class Spending:
    """A process of which a test says how long it has had a processor."""

    seconds = 0.0

    @property
    def account(self) -> "Spending":
        return self

    def processor_seconds(self) -> float:
        return self.seconds


def test_what_a_worker_does_for_itself_between_two_queries_is_charged_to_nobody() -> None:
    process = Spending()
    worker = BoundWorker(cast("ConfinedProcess", process), (), Limits())
    worker.begin_account()
    process.seconds = 1.25
    assert worker.overspent() == 1.0
    process.seconds = 2.25
    assert worker.end_account() == 1.0
    process.seconds = 60.0  # it copies a table
    assert worker.overspent() == 0.0
    worker.begin_account()
    assert worker.overspent() == 0.0
