"""A query is stopped from outside before its first bytes, and only that query."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from catalogue.errors import Problem
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryStopped

ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"


class NotedCancellation(Cancellation):
    """Says when the work can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.attached = Event()

    def attach(self, stop: Callable[[Problem], None]) -> None:
        super().attach(stop)
        self.attached.set()


def test_a_query_that_runs_is_stopped_before_its_first_bytes(workers: QueryWorkers) -> None:
    cancellation = NotedCancellation()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            workers.run, (), ENDLESS, Encoding(OutputFormat.CSV), cancellation=cancellation
        )
        assert cancellation.attached.wait(20)
        cancellation.cancel()
        with pytest.raises(QueryStopped):
            running.result()


def test_a_query_that_was_cancelled_before_it_had_a_worker_is_not_run(
    workers: QueryWorkers,
) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(QueryStopped):
        workers.run((), ENDLESS, Encoding(OutputFormat.CSV), cancellation=cancellation)


def test_a_late_cancellation_does_nothing_to_the_worker_that_is_free_again(
    workers: QueryWorkers,
) -> None:
    cancellation = Cancellation()
    with workers.run(
        (), "SELECT 1", Encoding(OutputFormat.CSV), cancellation=cancellation
    ) as stream:
        pid = stream.pid
        assert b"".join(stream)
    with workers.run((), "SELECT 2", Encoding(OutputFormat.CSV)) as other:
        assert other.pid == pid
        cancellation.cancel()
        assert b"2" in b"".join(other)
