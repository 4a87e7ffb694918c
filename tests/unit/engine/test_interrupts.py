"""A query that must end is interrupted, so that its worker lives on; one that does not heed it is
killed."""

import os
import threading

import pytest

from marketplace.engine import process
from marketplace.engine.query.query_messages import ENCODINGS, Encoding, OutputFormat
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryStopped, QueryTimedOut, WorkerLost

CSV = Encoding(OutputFormat.CSV)
HEEDS = "SELECT count(*) FROM range(100000000000) a, range(1000) b"
DOES_NOT_HEED = "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))"
LARGE = "SELECT i, 'row ' || i AS text FROM range(3000000) t(i)"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time for an interrupt to be heeded however busy the machine is."""
    monkeypatch.setattr(process, "_GRACE", 20.0)


def worker_of(workers: QueryWorkers) -> int:
    """The process that answers for the empty map when nothing else runs."""
    with workers.run((), "SELECT 1", CSV) as stream:
        assert b"".join(stream)
    return stream.pid


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("kind", [HEEDS, f"SELECT * FROM ({LARGE}) ORDER BY hash(text), i"])
def test_a_slow_query_ends_at_its_deadline_and_its_worker_answers_the_next(
    workers: QueryWorkers, kind: str
) -> None:
    before = worker_of(workers)
    with pytest.raises(QueryTimedOut, match="did not finish"):
        workers.run((), kind, CSV, deadline=0.3)

    assert worker_of(workers) == before


def test_a_worker_that_does_not_heed_an_interrupt_is_killed(workers: QueryWorkers) -> None:
    before = worker_of(workers)
    with pytest.raises(QueryTimedOut):
        workers.run((), DOES_NOT_HEED, CSV, deadline=0.3)

    assert not is_running(before)
    assert worker_of(workers) != before


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_a_result_that_is_left_in_the_middle_costs_no_worker(
    workers: QueryWorkers, encoding: Encoding
) -> None:
    before = worker_of(workers)
    stream = workers.run((), LARGE, encoding)
    next(stream)
    stream.close()

    with pytest.raises(WorkerLost, match="closed before its end"):
        list(stream)
    assert stream.rows == 0
    assert worker_of(workers) == before


@pytest.mark.usefixtures("patience")
def test_what_is_stopped_tells_whoever_waits_why(workers: QueryWorkers) -> None:
    before = worker_of(workers)
    stream = workers.run((), LARGE, CSV)
    stream.stop(QueryStopped("Its caller left."))

    with pytest.raises(QueryStopped, match="caller left"):
        list(stream)
    assert worker_of(workers) == before


def test_an_interrupt_never_reaches_the_next_query_of_the_worker(workers: QueryWorkers) -> None:
    for _ in range(30):
        late = workers.run((), "SELECT 1", CSV)
        leaving = threading.Thread(target=late.stop, args=(QueryStopped("Its caller left."),))
        leaving.start()
        late.close()
        with workers.run((), "SELECT count(*) AS n FROM range(3000000)", CSV) as honest:
            assert b"3000000" in b"".join(honest)
        leaving.join()
