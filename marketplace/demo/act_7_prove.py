"""Act 7: the audit log is verified, then tampered with in copies, and verification says how."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from marketplace.audit.verification import Verification, verify
from marketplace.database import open_database
from marketplace.demo.telling import Telling
from marketplace.demo.world import World
from marketplace.errors import AuditUnavailable


def prove(world: World, telling: Telling) -> None:
    """Verify the log, and three copies that somebody meddled with."""
    with telling.working("Checking every entry"):
        whole = world.marketplace.audit.verify([world.keepsakes.receipt])
    if not whole.ok:
        raise AuditUnavailable("The demo's audit log does not verify.", lines=whole.findings)
    telling.outcome("Verify the audit log", f"whole: {whole.size:,} entries")
    _meddle(world, telling, "In a copy, change what one entry says was asked", _change_a_body)
    _meddle(world, telling, "In a copy, remove one entry", _remove_an_entry)
    _restore(world, telling)


def _meddle(
    world: World, telling: Telling, tried: str, tamper: Callable[[sqlite3.Connection], None]
) -> None:
    copy = world.copy_database(f"{tamper.__name__}.db")
    with closing(sqlite3.connect(copy)) as connection, connection:
        tamper(connection)
    found = _verified(world, copy, ())
    telling.shown(*found.findings)
    telling.outcome(tried, _verdict(found))


def _restore(world: World, telling: Telling) -> None:
    """An older copy is whole in itself; only what a reader kept shows that it is older."""
    older = world.keepsakes.older
    alone = _verified(world, older, ())
    telling.outcome("Restore the whole log as it was before the first read", _verdict(alone))
    against = _verified(world, older, (world.keepsakes.receipt,))
    telling.shown(*against.findings)
    telling.outcome("Hold the receipt that the squad member kept against it", _verdict(against))


def _verified(world: World, copy: Path, receipts: Sequence[str]) -> Verification:
    database = open_database(f"sqlite:///{copy}")
    try:
        return verify(database, world.marketplace.audit.public_keys, receipts)
    finally:
        database.close()


def _verdict(found: Verification) -> str:
    return "found" if not found.ok else "looks whole by itself"


_ONE_READ = "SELECT id FROM audit_entries WHERE kind = 'read:decided' ORDER BY recorded_at LIMIT 1"


def _change_a_body(connection: sqlite3.Connection) -> None:
    (entry,) = connection.execute(_ONE_READ).fetchone()
    select = "SELECT body FROM audit_bodies WHERE entry_id = ?"
    body = msgspec.json.decode(connection.execute(select, (entry,)).fetchone()[0])
    body["sql"]["value"] = "SELECT 1"
    update = "UPDATE audit_bodies SET body = ? WHERE entry_id = ?"
    connection.execute(update, (msgspec.json.encode(body).decode(), entry))


def _remove_an_entry(connection: sqlite3.Connection) -> None:
    (entry,) = connection.execute(_ONE_READ).fetchone()
    connection.execute("DELETE FROM audit_leaves WHERE entry_id = ?", (entry,))
    connection.execute("DELETE FROM audit_bodies WHERE entry_id = ?", (entry,))
    connection.execute("DELETE FROM audit_entries WHERE id = ?", (entry,))
