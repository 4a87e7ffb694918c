from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from marketplace.audit.entries import Entry, EntryKind, erase, find, instant_text, latest, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AuditUnavailable, UnknownRecord

HOSTILE_SQL = "SELECT '\x00\u202e' AS \"Zoë\", 9007199254740993 -- \U0001f600"


def test_an_entry_reads_back_as_it_was_recorded(database: Database, clock: Clock):
    said = Entry(
        kind=EntryKind.READ_DECIDED,
        facts={
            "datasets": [{"address": "mhclg.homes", "release": 3}],
            "allowed": True,
            "rule": None,
        },
        person={"name": "Zoë Field", "sql": HOSTILE_SQL},
    )
    with database.writing() as connection:
        entry_id = record(connection, said, now=clock())
    with database.reading() as connection:
        found = find(connection, entry_id)
    assert (found.kind, found.facts, found.person) == (said.kind, said.facts, said.person)
    assert (found.recorded_at, found.position) == (clock(), None)


def test_an_entry_is_gone_with_the_transaction_that_it_records(database: Database, clock: Clock):
    with database.writing() as connection:
        entry_id = record(connection, Entry(kind=EntryKind.RELEASE_PUBLISHED), now=clock())
        connection.rollback()
    with database.reading() as connection, pytest.raises(UnknownRecord):
        find(connection, entry_id)


def test_the_document_holds_no_personal_value_and_equal_values_differ_in_it(
    database: Database, clock: Clock
):
    said = Entry(kind=EntryKind.PERSON_REGISTERED, person={"name": "Zoë Field"})
    with database.writing() as connection:
        for _ in range(2):
            record(connection, said, now=clock())
        documents = connection.execute(text("SELECT document FROM audit_entries")).scalars().all()
    assert not any("Field" in document for document in documents)
    commitments = {document.rpartition('"name":')[2] for document in documents}
    assert len(commitments) == 2


def test_erasing_leaves_the_facts_and_records_who_was_erased_and_why(
    database: Database, clock: Clock
):
    said = Entry(kind=EntryKind.READ_DECIDED, facts={"release": 3}, person={"name": "Zoë Field"})
    with database.writing() as connection:
        entry_id = record(connection, said, now=clock())
        erasure_id = erase(connection, entry_id, reason="asked by Zoë", now=clock())
    with database.reading() as connection:
        assert find(connection, entry_id).person == {"name": None}
        assert find(connection, entry_id).facts == {"release": 3}
        assert find(connection, erasure_id).facts == {"entry": entry_id}
        stored = connection.execute(text("SELECT body FROM audit_bodies")).scalars().all()
    assert not any("Field" in body for body in stored)


def test_what_was_erased_cannot_be_erased_again(database: Database, clock: Clock):
    said = Entry(kind=EntryKind.READ_DECIDED, person={"name": "Zoë Field"})
    with database.writing() as connection:
        entry_id = record(connection, said, now=clock())
        erase(connection, entry_id, reason="asked", now=clock())
        with pytest.raises(UnknownRecord, match="no personal details"):
            erase(connection, entry_id, reason="asked", now=clock())


def test_the_newest_entries_come_first_and_can_be_chosen_by_kind(database: Database, clock: Clock):
    with database.writing() as connection:
        ids = [
            record(connection, Entry(kind=kind), now=clock() + timedelta(seconds=number))
            for number, kind in enumerate(
                [EntryKind.TOKEN_ISSUED, EntryKind.READ_DECIDED, EntryKind.TOKEN_ISSUED]
            )
        ]
        assert [entry.id for entry in latest(connection)] == ids[::-1]
        chosen = latest(connection, kinds=[EntryKind.TOKEN_ISSUED], limit=1)
        assert [entry.id for entry in chosen] == ids[2:]


def test_an_entry_that_the_database_refuses_is_an_audit_that_is_unavailable(
    database: Database, clock: Clock
):
    with database.writing() as connection:
        connection.execute(text("DROP TABLE audit_pending"))
        with pytest.raises(AuditUnavailable):
            record(connection, Entry(kind=EntryKind.READ_DECIDED), now=clock())
        connection.rollback()


@pytest.mark.parametrize("value", [float("nan"), 2**53, "\ud800"])
def test_a_value_that_canonical_json_cannot_hold_is_refused(
    value: str | float, database: Database, clock: Clock
):
    with database.writing() as connection, pytest.raises(AuditUnavailable, match="cannot write"):
        record(connection, Entry(kind=EntryKind.READ_CLOSED, facts={"n": value}), now=clock())


def test_moments_are_written_in_utc_with_one_width():
    paris = timezone(timedelta(hours=1))
    assert instant_text(datetime(2026, 1, 2, 3, tzinfo=paris)) == "2026-01-02T02:00:00.000000Z"
    assert instant_text(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == (
        "2026-01-02T03:04:05.000006Z"
    )
    with pytest.raises(ValueError, match="time zone"):
        instant_text(datetime(2026, 1, 2))  # noqa: DTZ001
