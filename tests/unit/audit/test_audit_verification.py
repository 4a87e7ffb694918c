"""Whatever is changed in a log's rows, verification finds it and says where."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Table, select, text

from marketplace.audit import records
from marketplace.audit.checkpoint import open_signer, read_public_keys
from marketplace.audit.entries import erase
from marketplace.audit.log import AuditLog
from marketplace.audit.tree import EMPTY_ROOT, Frontier, leaf_hash
from marketplace.audit.verification import verify
from marketplace.clock import Clock
from marketplace.database import Database, open_database

Record = Callable[..., str]

TABLES = (
    records.entries,
    records.bodies,
    records.erasures,
    records.leaves,
    records.nodes,
    records.checkpoints,
    records.head,
    records.pending,
)


@pytest.fixture
def ids(audit: AuditLog, database: Database, record_read: Record, clock: Clock) -> list[str]:
    """Nine placed entries under three checkpoints, one of them erased, and one that waits."""
    made = [record_read(release=number) for number in range(4)]
    audit.sequence()
    with database.writing() as connection:
        made.append(erase(connection, made[1], reason="asked", now=clock()))
    made += [record_read() for _ in range(2)]
    audit.sequence()
    made += [record_read() for _ in range(2)]
    audit.sequence()
    record_read()
    return made


def found(audit: AuditLog, database: Database, *receipts: str) -> str:
    return "\n".join(verify(database, audit.public_keys, receipts).findings)


def run(database: Database, *statements: str) -> None:
    with database.writing() as connection:
        for statement in statements:
            connection.execute(text(statement))


def swap(
    database: Database, table: str, column: str, key: str, first: object, second: object
) -> None:
    """Exchange a column's values between two rows."""
    with database.writing() as connection:
        read = text(f"SELECT {column} FROM {table} WHERE {key} = :key")
        write = text(f"UPDATE {table} SET {column} = :value WHERE {key} = :key")
        values = [connection.execute(read, {"key": key}).scalar() for key in (first, second)]
        connection.execute(write, {"key": first, "value": _changed(values[0])})
        connection.execute(write, {"key": second, "value": values[0]})
        connection.execute(write, {"key": first, "value": values[1]})


def hash_at(database: Database, position: int) -> bytes:
    leaves = records.leaves.c
    with database.reading() as connection:
        chosen = select(leaves.hash).where(leaves.position == position)
        return connection.execute(chosen).scalar_one()


def set_hash(database: Database, position: int, digest: bytes) -> None:
    leaves = records.leaves
    with database.writing() as connection:
        connection.execute(leaves.update().where(leaves.c.position == position).values(hash=digest))


def rewrite(database: Database, entry_id: str, position: int) -> None:
    """Change an entry's facts and its leaf with it."""
    entries = records.entries
    with database.writing() as connection:
        chosen = select(entries.c.document).where(entries.c.id == entry_id)
        document = connection.execute(chosen).scalar_one().replace('"a-1"', '"a-2"')
        changed = entries.update().where(entries.c.id == entry_id).values(document=document)
        connection.execute(changed)
    set_hash(database, position, leaf_hash(document.encode()))


def rebuild_tree(database: Database) -> None:
    """Make every node and the head follow from the leaves, as someone with the database can."""
    frontier = Frontier()
    with database.writing() as connection:
        chosen = select(records.leaves.c.hash).order_by(records.leaves.c.position)
        leaves = connection.execute(chosen).scalars().all()
        nodes = [node._asdict() for leaf in leaves for node in frontier.append(leaf)]
        connection.execute(records.nodes.delete())
        connection.execute(records.nodes.insert(), nodes)
        connection.execute(records.head.update().values(size=frontier.size, root=frontier.root()))


@contextmanager
def restored_after(database: Database, act: Callable[[], str]) -> Iterator[str]:
    """Let something happen, then put every row back to what it was before."""
    with database.reading() as connection:
        before = {table: list(_rows(connection, table)) for table in TABLES}
    result = act()
    with database.writing() as connection:
        for table, rows in before.items():
            connection.execute(table.delete())
            connection.execute(table.insert(), rows)
    yield result


def _changed(value: object) -> object:
    match value:
        case int():
            return value + 1000
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
        case str():
            middle = len(value) // 2
            other = "b" if value[middle] == "a" else "a"
            return value[:middle] + other + value[middle + 1 :]
    raise TypeError(value)


def _rows(connection: Connection, table: Table) -> Iterator[dict[str, object]]:
    for row in connection.execute(select(table)).mappings().all():
        yield dict(row)


def _covered_rows(database: Database, table: Table, ids: list[str]) -> list[dict[str, object]]:
    """The rows that verification answers for: what waits is covered once it has its place."""
    with database.reading() as connection:
        rows = list(_rows(connection, table))
    if table in (records.entries, records.bodies):
        rows = [row for row in rows if row.get("entry_id", row.get("id")) in ids]
    assert rows
    return rows


def _names(table: Table, row: dict[str, object], ids: list[str]) -> set[str]:
    """What a finding about the row must say: an entry, a position or a size."""
    if table is records.nodes:
        level, number = int(str(row["level"])), int(str(row["number"]))
        return {f"positions {number << level} to {((number + 1) << level) - 1}"}
    if table is records.checkpoints:
        return {f"size {row['size']}"}
    if table is records.head:
        return {"head"}
    entry_id = str(row.get("entry_id", row.get("id")))
    if entry_id not in ids:
        return {entry_id}
    position = ids.index(entry_id)
    return {entry_id, f"position {position} ", f"positions {position} to"}


def test_an_untouched_log_verifies_and_says_how_much_waits(
    audit: AuditLog, database: Database, ids: list[str]
):
    seen: list[tuple[int, int]] = []
    verification = verify(
        database, audit.public_keys, progress=lambda done, total: seen.append((done, total))
    )
    assert verification.findings == ()
    assert (verification.ok, verification.size, verification.pending) == (True, 9, 1)
    assert seen[-1] == (9, 9)


def forge(database: Database, model: str, recorded_at: str) -> str:
    """Put an entry into the database as somebody can who may write there; returns its id."""
    forged = uuid4().hex
    with database.writing() as connection:
        for table in (records.entries, records.bodies):
            key = table.c.id if table is records.entries else table.c.entry_id
            row = dict(connection.execute(select(table).where(key == model)).mappings().one())
            if table is records.entries:
                document = row["document"].replace(row["recorded_at"], recorded_at)
                row |= {"recorded_at": recorded_at, "document": document.replace(model, forged)}
            connection.execute(table.insert().values(row | {key.name: forged}))
        connection.execute(records.pending.insert().values(entry_id=forged))
    return forged


@pytest.mark.parametrize(
    ("recorded_at", "part"),
    [
        ("2020-01-01T00:00:00.000000Z", "says it was recorded at 2020-01-01T00:00:00.000000Z"),
        ("2026-11-22T11:49:59.999999Z", "after later ones, of 2026-11-22T12:00:00.000000Z"),
        ("2020-01-01T00:00:00", "does not say when"),
        ("2020-01-01", "does not say when"),
        ("0001-01-01T00:00:00.0+14:00", "does not say when"),
        ("long ago", "does not say when"),
        ("", "does not say when"),
    ],
)
def test_a_forged_entry_of_long_ago_is_placed_and_named(
    audit: AuditLog, database: Database, ids: list[str], recorded_at: str, part: str
):
    forged = forge(database, ids[2], recorded_at)
    audit.sequence()
    (finding,) = verify(database, audit.public_keys).findings
    assert finding.startswith(f"The entry {forged} at position 10 ")
    assert part in finding


def test_what_clocks_may_differ_by_is_not_named(
    audit: AuditLog, database: Database, record_read: Record, clock: Any
):
    for minutes in (0, 9, -10, 15):
        clock.advance(timedelta(minutes=minutes))
        record_read()
        audit.sequence()
    assert found(audit, database) == ""


def test_a_clock_that_was_put_back_is_named_until_it_caught_up_and_hides_nothing(
    audit: AuditLog, database: Database, record_read: Record, clock: Any
):
    record_read()
    clock.advance(timedelta(hours=2))
    record_read()
    clock.advance(-timedelta(hours=1))
    late = [record_read() for _ in range(23)]
    clock.advance(timedelta(hours=1))
    last = record_read()
    audit.sequence()
    run(
        database,
        f"UPDATE audit_entries SET document = replace(document, 'a-1', 'a-2') WHERE id = '{last}'",
    )
    findings = verify(database, audit.public_keys).findings
    named = [finding for finding in findings if "after later ones" in finding]
    assert [late[number] in named[number] for number in range(20)] == [True] * 20
    assert len(named) == 20
    assert "3 more entries say they were recorded before ones that they came after." in findings
    assert (
        f"The entry {last} at position 25 was changed: it no longer is what the tree holds."
        in findings
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_a_change_of_any_field_of_any_row_is_located(
    table: Table, audit: AuditLog, database: Database, ids: list[str]
):
    for row in _covered_rows(database, table, ids):
        for column in table.c:
            if column is records.pending.c.ordinal:
                continue  # the order in which entries wait is promised to nobody
            itself = [table.c[key.name] == row[key.name] for key in table.primary_key]
            changed = _changed(row[column.name])
            with database.writing() as connection:
                connection.execute(table.update().where(*itself).values({column.name: changed}))
            findings = found(audit, database)
            named = _names(table, row, ids)
            assert any(name in findings for name in named), (table.name, row, column.name, findings)
            now = [
                table.c[key.name] == (changed if key is column else row[key.name])
                for key in table.primary_key
            ]
            with database.writing() as connection:
                connection.execute(table.update().where(*now).values(row))
    assert found(audit, database) == ""


@pytest.mark.parametrize(
    "table", [table for table in TABLES if table is not records.pending], ids=lambda t: str(t.name)
)
def test_a_removal_of_any_row_is_located(
    table: Table, audit: AuditLog, database: Database, ids: list[str]
):
    rows = _covered_rows(database, table, ids)
    last = max(int(str(row["size"])) for row in rows) if table is records.checkpoints else None
    for row in rows:
        if table is records.checkpoints and row["size"] != last:
            continue  # a later checkpoint covers all that an earlier one did
        itself = [table.c[key.name] == row[key.name] for key in table.primary_key]
        with database.writing() as connection:
            connection.execute(table.delete().where(*itself))
        findings = found(audit, database)
        named = _names(table, row, ids) if last is None else {"no signed checkpoint"}
        if table is records.erasures:
            named = {str(row["entry_id"])}
        assert any(name in findings for name in named), (table.name, row, findings)
        with database.writing() as connection:
            connection.execute(table.insert().values(row))
    assert found(audit, database) == ""


def test_one_changed_entry_and_one_removed_are_both_named_and_nothing_else(
    audit: AuditLog, database: Database, ids: list[str]
):
    run(
        database,
        f"UPDATE audit_entries SET document = replace(document, 'a-1', 'a-2') WHERE id = '{ids[2]}'",
        f"DELETE FROM audit_entries WHERE id = '{ids[6]}'",
        f"DELETE FROM audit_leaves WHERE entry_id = '{ids[6]}'",
        f"DELETE FROM audit_bodies WHERE entry_id = '{ids[6]}'",
    )
    assert verify(database, audit.public_keys).findings == (
        f"The entry {ids[2]} at position 2 was changed: it no longer is what the tree holds.",
        "The entry at position 6 was removed from the tree.",
    )


def test_beside_a_removed_entry_a_forged_one_is_still_found(
    audit: AuditLog, database: Database, ids: list[str]
):
    run(database, f"DELETE FROM audit_leaves WHERE entry_id = '{ids[1]}'")
    rewrite(database, ids[8], 8)
    findings = found(audit, database)
    assert "position 1 was removed from the tree" in findings
    assert "signed checkpoint of size 9: between positions 7 and 8" in findings


def test_a_missing_tree_node_is_told_from_a_changed_one(
    audit: AuditLog, database: Database, ids: list[str]
):
    run(database, "DELETE FROM audit_nodes WHERE level = 1 AND number = 1")
    another = _changed(EMPTY_ROOT)
    with database.writing() as connection:
        changed = records.nodes.update().where(text("level = 2 AND number = 1"))
        connection.execute(changed.values(hash=another))
    assert verify(database, audit.public_keys).findings == (
        "The stored tree node of level 1 over positions 2 to 3 is missing.",
        (
            "The stored tree node of level 2 over positions 4 to 7 was changed; "
            "the entries beneath it are as they were."
        ),
    )


def test_a_changed_leaf_is_told_from_a_changed_entry(
    audit: AuditLog, database: Database, ids: list[str]
):
    for position in range(9):
        genuine = hash_at(database, position)
        set_hash(database, position, b"\x00" * 32)
        assert found(audit, database).splitlines()[0] == (
            f"The entry {ids[position]} at position {position} is as it was, "
            "but its leaf in the tree was changed."
        )
        set_hash(database, position, genuine)


def test_an_entry_changed_together_with_its_leaf_is_placed_by_the_tree_above(
    audit: AuditLog, database: Database, ids: list[str]
):
    rewrite(database, ids[5], 5)
    findings = found(audit, database)
    assert "Entries at positions 4 to 5 were changed" in findings
    assert "signed checkpoint of size 7" in findings
    assert "between positions 4 and 6" in findings


def test_an_entry_changed_together_with_the_whole_tree_is_exposed_by_the_signature(
    audit: AuditLog, database: Database, ids: list[str]
):
    rewrite(database, ids[5], 5)
    rebuild_tree(database)
    findings = found(audit, database)
    assert "signed checkpoint of size 7: between positions 4 and 6" in findings
    assert "tree node" not in findings


@pytest.mark.parametrize(("first", "second"), [(2, 3), (1, 6), (0, 7)])
def test_reordered_entries_are_named_whichever_rows_were_exchanged(
    first: int, second: int, audit: AuditLog, database: Database, ids: list[str]
):
    swap(database, "audit_leaves", "entry_id", "position", first, second)
    findings = found(audit, database)
    assert f"{ids[second]} at position {first} belongs at position {second}" in findings
    assert f"{ids[first]} at position {second} belongs at position {first}" in findings
    swap(database, "audit_leaves", "hash", "position", first, second)
    findings = found(audit, database)
    assert f"position {first} belongs at position {second}: entries were reordered" in findings
    assert f"position {second} belongs at position {first}: entries were reordered" in findings
    assert "signed checkpoint" in findings


def test_entries_cut_from_the_end_are_exposed_by_the_checkpoint(
    audit: AuditLog, database: Database, ids: list[str]
):
    run(
        database,
        "DELETE FROM audit_leaves WHERE position >= 7",
        f"DELETE FROM audit_entries WHERE id IN ('{ids[7]}', '{ids[8]}')",
        f"DELETE FROM audit_bodies WHERE entry_id IN ('{ids[7]}', '{ids[8]}')",
        "UPDATE audit_head SET size = 7",
    )
    assert "positions 7 to 8 were removed: a signed checkpoint covers them" in found(
        audit, database
    )


def test_an_entry_added_without_the_key_is_covered_by_no_checkpoint(
    audit: AuditLog, database: Database, ids: list[str], record_read: Record
):
    added = record_read()
    with database.writing() as connection:
        document = connection.execute(
            select(records.entries.c.document).where(records.entries.c.id == added)
        ).scalar_one()
        connection.execute(text(f"DELETE FROM audit_pending WHERE entry_id = '{added}'"))
        leaf = {"position": 9, "entry_id": added, "hash": leaf_hash(document.encode())}
        connection.execute(records.leaves.insert().values(leaf))
    rebuild_tree(database)
    assert "position 9 was covered by no signed checkpoint" in found(audit, database)


def test_a_log_put_back_to_an_older_state_verifies_until_a_receipt_is_shown(
    audit: AuditLog, database: Database, database_url: str, ids: list[str], record_read: Record
):
    with restored_after(database, lambda: str(audit.receipt(record_read()))) as receipt:
        assert verify(database, audit.public_keys).ok
        assert "was given when it had 11: the log was restored to an older state" in found(
            audit, database, receipt
        )


def test_a_log_that_went_another_way_after_a_restore_is_exposed_by_a_receipt(
    audit: AuditLog, database: Database, ids: list[str], record_read: Record
):
    with restored_after(database, lambda: str(audit.receipt(record_read()))) as receipt:
        record_read("SELECT 'another'")
        record_read()
        audit.sequence()
        assert verify(database, audit.public_keys).ok
        assert "altered or replaced" in found(audit, database, receipt)


def test_a_kept_checkpoint_is_as_good_as_a_receipt(
    audit: AuditLog, database: Database, ids: list[str], record_read: Record
):
    def later_checkpoint() -> str:
        record_read()
        return audit.sequence().note

    with restored_after(database, later_checkpoint) as note:
        assert "restored to an older state" in found(audit, database, note)
    assert found(audit, database, audit.sequence().note) == ""


def test_a_kept_text_that_is_no_proof_is_said(audit: AuditLog, database: Database, ids: list[str]):
    for kept in ("", "nonsense", "c2sp.org/tlog-proof@v1\n", "a\n1\nAAAA\n\nx"):
        assert "kept as number 1 proves nothing" in found(audit, database, kept)


def test_a_log_signed_with_another_key_is_exposed(
    audit: AuditLog, database: Database, ids: list[str], tmp_path: Path
):
    other = open_signer(tmp_path / "others", "data.test/audit")
    findings = "\n".join(verify(database, other.public_keys).findings)
    assert "stored checkpoint of size 9 is false" in findings
    assert "covered by no signed checkpoint" in findings


def test_a_hole_too_wide_to_follow_is_said_without_walking_through_it(
    audit: AuditLog, database: Database, ids: list[str]
):
    kept = str(audit.receipt(ids[0]))
    run(database, f"UPDATE audit_leaves SET position = {2**60} WHERE position = 9")
    findings = found(audit, database, kept)
    assert f"positions 9 to {2**60 - 1} were removed" in findings
    assert "Too much is missing to compare" in findings


def test_the_list_of_findings_is_bounded(
    audit: AuditLog, database: Database, record_read: Record, ids: list[str]
):
    for _ in range(250):
        record_read()
    audit.sequence()
    run(database, "UPDATE audit_entries SET document = document || ' '")
    findings = verify(database, audit.public_keys).findings
    assert len(findings) == 201
    assert findings[-1] == "There is more than can be listed here."


def test_a_copy_of_the_database_verifies_with_the_public_key_alone(
    audit: AuditLog, database: Database, database_url: str, ids: list[str], tmp_path: Path
):
    if not database_url.startswith("sqlite"):
        pytest.skip("the copy is made as a file")
    copied = tmp_path / "copy.db"
    original = Path(database_url.removeprefix("sqlite:///"))
    database.close()
    shutil.copy(original, copied)
    copy = open_database(f"sqlite:///{copied}")
    verification = verify(copy, read_public_keys(tmp_path / "keys" / "audit.pub"))
    copy.close()
    assert (verification.ok, verification.size) == (True, 9)
