"""An agreement may bound what one result holds; what would pass the bound never leaves."""

import pytest

from marketplace.engine.limits import ResultLimit
from marketplace.engine.query.query_messages import ENCODINGS, Encoding, OutputFormat
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryTooLarge

CSV = Encoding(OutputFormat.CSV)
each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=str)


@each_encoding
def test_a_result_of_as_many_rows_as_agreed_is_whole(
    workers: QueryWorkers, encoding: Encoding
) -> None:
    most = ResultLimit(rows=100)
    stream = workers.run((), "FROM range(100)", encoding, most=most)

    assert b"".join(stream)
    assert stream.rows == 100


@each_encoding
def test_a_result_of_one_row_more_is_refused_before_its_first_byte(
    workers: QueryWorkers, encoding: Encoding
) -> None:
    with pytest.raises(QueryTooLarge, match="more than 1,000 rows, the most that the agreement"):
        workers.run((), "FROM range(1001)", encoding, most=ResultLimit(rows=1000))


def test_a_long_result_is_cut_before_the_row_that_is_one_too_many(workers: QueryWorkers) -> None:
    sql = "SELECT i, repeat('x', 100) AS text FROM range(1000000) t(i)"
    pieces: list[bytes] = []
    with pytest.raises(QueryTooLarge, match="500,000 rows"):
        pieces.extend(workers.run((), sql, CSV, most=ResultLimit(rows=500_000)))

    assert b"".join(pieces).count(b"\n") <= 500_001


def test_no_byte_passes_the_bound_that_was_agreed(workers: QueryWorkers) -> None:
    sql = "SELECT i, repeat('x', 100) AS text FROM range(1000000) t(i)"
    pieces: list[bytes] = []
    with pytest.raises(QueryTooLarge, match="more than 3,000,000 bytes, the most that the agree"):
        pieces.extend(workers.run((), sql, CSV, most=ResultLimit(bytes=3_000_000)))

    assert 0 < sum(map(len, pieces)) <= 3_000_000


def test_a_worker_lives_on_after_a_result_of_too_many_rows(workers: QueryWorkers) -> None:
    with workers.run((), "SELECT 1", CSV) as before:
        list(before)
    with pytest.raises(QueryTooLarge):
        workers.run((), "FROM range(20)", CSV, most=ResultLimit(rows=10))
    with workers.run((), "SELECT 1", CSV) as after:
        list(after)

    assert after.pid == before.pid
