"""Group commit: one flush for many, one failure for one, and nothing without its record."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from access_policies import revision
from marketplace.audit import entries
from marketplace.audit.checkpoint import open_signer
from marketplace.audit.entries import Entry, EntryKind
from marketplace.audit.log import AuditLog
from marketplace.audit.recorder import Recorder, Recording
from marketplace.database import Database
from marketplace.errors import AuditUnavailable

PATIENCE = 30


@pytest.fixture
def recorder(database: Database, clock) -> Recorder:
    return Recorder(database, clock)


def entry(number: int, kind: EntryKind = EntryKind.READ_DECIDED) -> Entry:
    return Entry(kind=kind, facts={"n": number}, person={"person": "somebody"})


def recording(number: int) -> Callable[[Recording], Recording]:
    def job(here: Recording) -> Recording:
        here.record(entry(number))
        return here

    return job


def recorded(database: Database) -> list[int]:
    """The numbers in the log, in the order in which they wait for their place."""
    with database.reading() as connection:
        found = connection.execute(text("SELECT entry_id FROM audit_pending ORDER BY ordinal"))
        return [int(str(entries.find(connection, one).facts["n"])) for one in found.scalars()]


class Company:
    """Jobs that come while another is under way, so that they wait in line together."""

    def __init__(self, recorder: Recorder, pool: ThreadPoolExecutor) -> None:
        self._recorder = recorder
        self._pool = pool

    def run(self, *jobs: Callable[[Recording], object]) -> list[Callable[[], object]]:
        """Start all at once behind one that waits; returns how to get what each came to."""
        leading, go = threading.Event(), threading.Event()

        def lead(_: Recording) -> None:
            leading.set()
            assert go.wait(PATIENCE)

        first = self._pool.submit(self._recorder.run, lead)
        assert leading.wait(PATIENCE)
        waiting = [self._pool.submit(self._recorder.run, job) for job in jobs]
        while len(self._recorder._line) < len(jobs):
            threading.Event().wait(0.001)
        go.set()
        first.result(PATIENCE)
        return [lambda one=one: one.result(PATIENCE) for one in waiting]  # type: ignore[misc]


@pytest.fixture
def company(recorder: Recorder) -> Iterator[Company]:
    with ThreadPoolExecutor(16) as pool:
        yield Company(recorder, pool)


def test_what_a_lone_caller_records_is_durable_when_they_go_on(recorder, database) -> None:
    recorder.run(recording(1))
    assert recorded(database) == [1]


def test_those_who_wait_together_share_one_transaction(company, database) -> None:
    shared = {id(outcome()) for outcome in company.run(*(recording(n) for n in range(8)))}
    assert len(shared) == 1
    assert sorted(recorded(database)) == list(range(8))


def test_many_at_once_all_get_their_own_answer(recorder, database) -> None:
    def job(number: int) -> Callable[[Recording], int]:
        def do(here: Recording) -> int:
            here.record(entry(number))
            return number

        return do

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: recorder.run(job(number)), range(400)))
    assert answers == list(range(400))
    assert sorted(recorded(database)) == list(range(400))


def test_a_job_that_fails_fails_alone_and_leaves_nothing(company, database) -> None:
    def broken(here: Recording) -> None:
        here.record(entry(99))
        raise ZeroDivisionError

    one, bad, other = company.run(recording(1), broken, recording(2))
    one()
    other()
    with pytest.raises(ZeroDivisionError):
        bad()
    assert recorded(database) == [1, 2]


def test_a_job_whose_statement_fails_does_not_take_the_others_along(company, database) -> None:
    def broken(here: Recording) -> None:
        here.connection.execute(text("SELECT * FROM there_is_no_such_table"))

    one, bad, other = company.run(recording(1), broken, recording(2))
    one()
    other()
    with pytest.raises(AuditUnavailable):
        bad()
    assert recorded(database) == [1, 2]


def test_a_lost_commit_fails_everybody_and_records_nobody(
    company, recorder, database, monkeypatch
) -> None:
    writing = database.writing
    transactions: list[Connection] = []

    @contextmanager
    def losing() -> Iterator[Connection]:
        with writing() as connection:
            transactions.append(connection)
            yield connection
            if len(transactions) > 1:  # the first is the one that they wait behind
                raise OperationalError("COMMIT", None, Exception("disk full"))

    monkeypatch.setattr(database, "writing", losing)
    for outcome in company.run(recording(1), recording(2), recording(3)):
        with pytest.raises(AuditUnavailable):
            outcome()
    monkeypatch.undo()
    assert len(transactions) == 2
    assert recorded(database) == []
    recorder.run(recording(4))
    assert recorded(database) == [4]


def test_nobody_moves_the_revision_while_a_job_decides(recorder, database) -> None:
    moved = threading.Event()

    def move() -> None:
        with database.writing() as connection:
            revision.advance(connection)
        moved.set()

    def decide(here: Recording) -> int:
        mover.start()
        assert not moved.wait(0.2)
        return here.revision

    mover = threading.Thread(target=move)
    assert recorder.run(decide) == 0
    mover.join(PATIENCE)
    assert recorder.run(lambda here: here.revision) == 1


def test_what_is_left_for_later_is_written_with_the_next_and_before_it(recorder, database) -> None:
    recorder.later(entry(1, EntryKind.READ_CLOSED))
    recorder.later(entry(2, EntryKind.READ_CLOSED))
    assert recorded(database) == []
    recorder.run(recording(3))
    assert recorded(database) == [1, 2, 3]


def test_what_is_left_for_later_outlives_a_lost_commit(recorder, database, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    recorder.later(entry(1))
    monkeypatch.setattr(entries, "write", broken)
    with pytest.raises(AuditUnavailable):
        recorder.run(recording(2))
    with pytest.raises(AuditUnavailable):
        recorder.flush()
    monkeypatch.undo()
    recorder.flush()
    assert recorded(database) == [1]


def test_what_is_left_for_later_outlives_a_failed_job(recorder, database) -> None:
    recorder.later(entry(1))
    with pytest.raises(ZeroDivisionError):
        recorder.run(lambda _: 1 // 0)
    recorder.flush()
    assert recorded(database) == [1]


def test_only_so_many_entries_are_left_for_later(recorder, database, monkeypatch) -> None:
    monkeypatch.setattr("marketplace.audit.recorder._MOST_OUTSTANDING", 3)
    for number in range(3):
        recorder.later(entry(number))
    assert recorded(database) == []
    recorder.later(entry(3))
    assert recorded(database) == [0, 1, 2, 3]


def test_a_closed_recorder_leaves_nothing_for_later(recorder, database) -> None:
    recorder.later(entry(1))
    recorder.close()
    assert recorded(database) == [1]
    recorder.later(entry(2))
    assert recorded(database) == [1, 2]


def test_the_log_of_the_same_process_sees_what_was_left_for_later(
    recorder, database, tmp_path
) -> None:
    log = AuditLog(database, open_signer(tmp_path, "marketplace.test/audit"), recorder)
    recorder.later(entry(1))
    assert log.sequence().size == 1
    recorder.later(entry(2))
    assert log.verify().ok
    assert log.sequence().size == 2
    recorder.later(entry(3))
    log.close()
    assert recorded(database) == [3]


def test_an_interrupted_leader_leaves_nobody_waiting(company, database) -> None:
    def interrupted(_: Recording) -> None:
        raise KeyboardInterrupt

    one, bad, other = company.run(recording(1), interrupted, recording(2))
    outcomes: list[type[BaseException]] = []
    for outcome in (one, bad, other):
        try:
            outcome()
        except BaseException as error:  # noqa: BLE001 - which of them led is not said
            outcomes.append(type(error))
    assert sorted(kind.__name__ for kind in outcomes) == [
        "AuditUnavailable",
        "AuditUnavailable",
        "KeyboardInterrupt",
    ]
    assert recorded(database) == []
