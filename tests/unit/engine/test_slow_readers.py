"""A reader that does not keep up keeps no worker: what it has yet to read waits in a file."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from marketplace.engine.limits import Limits
from marketplace.engine.query import result_stream
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.result_stream import ResultStream
from marketplace.engine.query.spool import Spool
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import AccessEnded, WorkerLost

CSV = Encoding(OutputFormat.CSV)
LARGE = "SELECT i, 'row ' || i AS text FROM range(1000000) t(i)"


@pytest.fixture
def one_place(limits: Limits, tmp_path: Path) -> Iterator[QueryWorkers]:
    """A pool that runs one query at a time."""
    scratch = tmp_path / "scratch"
    workers = QueryWorkers(limits, places=1, spares=0, scratch=scratch, patience=30.0)
    yield workers
    workers.close()


def digest_of(pieces: Iterator[bytes]) -> str:
    return hashlib.sha256(b"".join(pieces)).hexdigest()


def test_an_unread_result_frees_its_worker_and_is_whole_whenever_it_is_read(
    one_place: QueryWorkers,
) -> None:
    expected = digest_of(one_place.run((), LARGE, CSV))
    unread = one_place.run((), LARGE, CSV)
    with one_place.run((), "SELECT 1", CSV) as other:
        assert b"".join(other)
        assert other.pid == unread.pid

    assert digest_of(unread) == expected
    assert unread.rows == 1_000_000


def test_a_spooled_result_ends_when_access_does(one_place: QueryWorkers) -> None:
    unread = one_place.run((), LARGE, CSV)
    with one_place.run((), "SELECT 1", CSV) as other:
        assert b"".join(other)
    next(unread)
    unread.stop(AccessEnded("It was revoked."))

    with pytest.raises(AccessEnded):
        list(unread)


def test_a_spooled_result_that_is_closed_leaves_no_file(
    one_place: QueryWorkers, tmp_path: Path
) -> None:
    with one_place.run((), LARGE, CSV) as unread:
        rest = one_place.run((), LARGE, CSV)  # it had to wait until the first was spooled
        next(unread)
    rest.close()

    with pytest.raises(WorkerLost):
        list(unread)
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_a_killed_worker_never_leaves_a_spool_that_looks_complete(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooling = threading.Event()

    class NotedSpool(Spool):
        def __init__(self, folder: Path, capacity: int) -> None:
            super().__init__(folder, capacity)
            spooling.set()

    monkeypatch.setattr(result_stream, "Spool", NotedSpool)
    small = msgspec.structs.replace(limits, spool=1024**2)
    workers = QueryWorkers(small, places=1, spares=0, scratch=tmp_path)
    try:
        stream: ResultStream = workers.run((), LARGE, CSV)
        assert spooling.wait(20)
        next(stream)
        stream.stop(WorkerLost("The process ended."))
        with pytest.raises(WorkerLost):
            list(stream)
        assert stream.rows == 0
    finally:
        workers.close()


def test_a_spool_gives_what_it_took_however_small_it_is(tmp_path: Path) -> None:
    pieces = [bytes([n]) * (n * 37 % 2500) for n in range(250)]
    spool = Spool(tmp_path, 1000)

    def write() -> None:
        for piece in pieces:
            spool.write(piece)
        spool.end()
        spool.leave()

    writing = threading.Thread(target=write)
    writing.start()
    found = b"".join(iter(spool.read, None))
    writing.join()
    spool.leave()

    assert found == b"".join(pieces)


def test_a_small_result_has_freed_its_worker_before_it_is_read(one_place: QueryWorkers) -> None:
    unread = one_place.run((), "SELECT 42 AS answer", CSV)
    assert unread.size == len(b'"answer"\n42\n')
    with one_place.run((), "SELECT 1", CSV) as other:
        assert other.pid == unread.pid
        assert b"".join(other)

    assert unread.rows == 0
    assert b"".join(unread) == b'"answer"\n42\n'
    assert unread.rows == 1


def test_how_large_a_result_is_shows_only_when_all_of_it_has_come(one_place: QueryWorkers) -> None:
    with one_place.run((), LARGE, CSV) as result:
        assert result.size is None
        received = sum(map(len, result))
        assert result.size == received
