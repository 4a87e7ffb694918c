from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import select, text

from marketplace.audit import log as log_module
from marketplace.audit import records
from marketplace.audit.checkpoint import open_checkpoint, open_signer
from marketplace.audit.entries import Entry, EntryKind, erase, record
from marketplace.audit.log import AuditLog
from marketplace.audit.receipt import Receipt, check_growth
from marketplace.audit.tree import EMPTY_ROOT
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AuditUnavailable, ProofInvalid, UnknownRecord

Record = Callable[..., str]


def order(database: Database) -> list[tuple[int, str]]:
    chosen = select(records.leaves.c.position, records.leaves.c.entry_id)
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(chosen.order_by("position"))]


def test_an_empty_log_has_a_signed_checkpoint(audit: AuditLog):
    checkpoint = audit.sequence()
    assert (checkpoint.size, checkpoint.root) == (0, EMPTY_ROOT)
    assert audit.sequence() == checkpoint
    assert audit.verify().ok


def test_entries_take_their_places_in_the_order_in_which_they_were_written(
    audit: AuditLog, record_read: Record, database: Database
):
    ids = [record_read() for _ in range(3)]
    assert audit.sequence().size == 3
    ids += [record_read() for _ in range(4)]
    assert audit.sequence().size == 7
    assert order(database) == list(enumerate(ids))


def test_more_entries_than_one_batch_are_all_placed(
    audit: AuditLog, record_read: Record, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_module, "_BATCH", 3)
    ids = [record_read() for _ in range(10)]
    assert audit.sequence().size == 10
    assert order(database) == list(enumerate(ids))
    assert audit.verify().ok


def test_racing_sequencers_place_every_entry_exactly_once(
    database: Database, record_read: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_module, "_BATCH", 4)
    logs = [AuditLog(database, open_signer(tmp_path / "keys", "data.test/audit")) for _ in "ab"]
    with ThreadPoolExecutor(6) as pool:
        recorded = [pool.submit(record_read) for _ in range(60)]
        placed = [pool.submit(logs[number % 2].sequence) for number in range(20)]
        ids = {future.result() for future in recorded}
        checkpoints = [future.result() for future in placed]
    logs[0].sequence()
    places = order(database)
    assert [position for position, _ in places] == list(range(60))
    assert {entry_id for _, entry_id in places} == ids
    verification = logs[1].verify([checkpoint.note for checkpoint in checkpoints])
    assert verification.findings == ()


def test_an_entry_that_commits_late_keeps_waiting_and_is_placed_later(
    audit: AuditLog, record_read: Record, database: Database, database_url: str, clock: Clock
):
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer: no entry can be written before and commit after")
    with database.writing() as connection:
        late = record(connection, Entry(kind=EntryKind.READ_DECIDED), now=clock())
        early = record_read()
        assert audit.sequence().size == 1
    assert audit.sequence().size == 2
    assert order(database) == [(0, early), (1, late)]


def test_a_receipt_proves_its_entry_without_the_log(audit: AuditLog, record_read: Record):
    ids = [record_read(release=number) for number in range(6)]
    for number, entry_id in enumerate(ids):
        receipt = Receipt.parse(str(audit.receipt(entry_id)))
        assert receipt.check(audit.public_keys).size == 6
        assert (receipt.entry.id, receipt.entry.facts["release"]) == (entry_id, number)
        assert "Zoë" not in receipt.document


def test_an_entry_that_waits_is_placed_when_its_receipt_is_asked_for(
    audit: AuditLog, record_read: Record
):
    assert audit.receipt(record_read()).position == 0


def test_there_is_no_receipt_for_an_unknown_entry(audit: AuditLog):
    with pytest.raises(UnknownRecord):
        audit.receipt("0" * 32)


def test_every_change_of_a_receipt_is_refused(audit: AuditLog, record_read: Record):
    entry_id = [record_read() for _ in range(5)][2]
    text_of = str(audit.receipt(entry_id))
    for place in range(0, len(text_of), 3):
        changed = text_of[:place] + ("B" if text_of[place] == "A" else "A") + text_of[place + 1 :]
        with pytest.raises(ProofInvalid):
            Receipt.parse(changed).check(audit.public_keys)
    for text_cut in (text_of[:place] for place in range(0, len(text_of) - 1, 7)):
        with pytest.raises(ProofInvalid):
            Receipt.parse(text_cut).check(audit.public_keys)


def test_a_later_checkpoint_is_proven_to_continue_an_earlier_one(
    audit: AuditLog, record_read: Record
):
    record_read()
    checkpoints = [audit.sequence()]
    for count in (1, 2, 5):
        for _ in range(count):
            record_read()
        checkpoints.append(audit.sequence())
    for number, later in enumerate(checkpoints):
        for earlier in checkpoints[: number + 1]:
            check_growth(earlier, later, audit.growth(earlier.size, later.size))
    with pytest.raises(ProofInvalid, match="older state"):
        check_growth(checkpoints[-1], checkpoints[0], ())
    with pytest.raises(ProofInvalid, match="does not begin"):
        check_growth(checkpoints[0], checkpoints[-1], ())


def test_growth_is_proven_only_for_sizes_that_the_log_had(audit: AuditLog, record_read: Record):
    record_read()
    audit.sequence()
    with pytest.raises(UnknownRecord, match="1 entries"):
        audit.growth(0, 2)


def test_nothing_is_signed_over_a_tree_that_was_tampered_with(
    audit: AuditLog, record_read: Record, database: Database
):
    for _ in range(3):
        record_read()
    audit.sequence()
    with database.writing() as connection:
        connection.execute(
            records.leaves.update().where(text("position = 2")).values(hash=b"x" * 32)
        )
    record_read()
    with pytest.raises(AuditUnavailable, match="tampered"):
        audit.sequence()
    assert not audit.verify().ok


def test_nothing_is_signed_after_a_checkpoint_of_another_key(
    audit: AuditLog, record_read: Record, database: Database, tmp_path: Path
):
    record_read()
    AuditLog(database, open_signer(tmp_path / "others", "data.test/audit")).sequence()
    record_read()
    with pytest.raises(AuditUnavailable, match="cannot be trusted"):
        audit.sequence()


def test_a_receipt_that_would_not_hold_is_not_given(
    audit: AuditLog, record_read: Record, database: Database
):
    entry_id, *_ = [record_read() for _ in range(4)]
    audit.sequence()
    with database.writing() as connection:
        connection.execute(text("UPDATE audit_entries SET document = document || ' '"))
    with pytest.raises(AuditUnavailable, match="cannot prove"):
        audit.receipt(entry_id)


def test_the_background_thread_places_entries_and_closing_places_the_last(
    audit: AuditLog, record_read: Record, monkeypatch: pytest.MonkeyPatch
):
    placed = Event()
    sequence = AuditLog.sequence

    def announced(self: AuditLog) -> object:
        checkpoint = sequence(self)
        if checkpoint.size:
            placed.set()
        return checkpoint

    monkeypatch.setattr(AuditLog, "sequence", announced)
    first = record_read()
    audit.start(every_seconds=0.01)
    audit.start(every_seconds=0.01)
    assert placed.wait(10)
    last = record_read()
    audit.close()
    audit.close()
    assert audit.receipt(first).position == 0
    assert audit.receipt(last).position == 1


def test_the_background_thread_goes_on_after_a_fault_and_says_what_it_was(
    audit: AuditLog, database: Database, record_read: Record, caplog: pytest.LogCaptureFixture
):
    record_read()
    audit.sequence()
    with database.writing() as connection:
        connection.execute(text("UPDATE audit_head SET size = 9"))
    record_read()
    audit.start(every_seconds=0.01)
    audit.close()
    assert "node" in audit.fault or "tampered" in audit.fault
    assert "wait for their place" in caplog.text
    with database.writing() as connection:
        connection.execute(text("UPDATE audit_head SET size = 1"))
    audit.start(every_seconds=0.01)
    audit.close()
    assert audit.fault == ""
    assert audit.sequence().size == 2


def test_an_erased_entry_still_has_its_receipt_and_the_tree_verifies(
    audit: AuditLog, database: Database, record_read: Record, clock: Clock
):
    ids = [record_read() for _ in range(3)]
    kept = str(audit.receipt(ids[1]))
    with database.writing() as connection:
        erase(connection, ids[1], reason="asked", now=clock())
    assert audit.verify([kept]).findings == ()
    assert audit.receipt(ids[1]).check(audit.public_keys).size == 4


def test_a_checkpoint_outlives_the_log_that_made_it(audit: AuditLog, record_read: Record):
    record_read()
    note = audit.sequence().note
    assert open_checkpoint(note, audit.public_keys).note == note
