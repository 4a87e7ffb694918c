"""A small audit log over the test's database, and entries to fill it with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace.audit.checkpoint import open_signer
from marketplace.audit.entries import Entry, EntryKind, record
from marketplace.audit.log import AuditLog
from marketplace.clock import Clock
from marketplace.database import Database

Record = Callable[..., str]


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> AuditLog:
    return AuditLog(database, open_signer(tmp_path / "keys", "data.test/audit"))


@pytest.fixture
def record_read(database: Database, clock: Clock) -> Record:
    """Record one read in a transaction of its own; returns the entry's id."""

    def record_one(sql: str = "SELECT 1", **facts: str | int) -> str:
        entry = Entry(
            kind=EntryKind.READ_DECIDED,
            facts={"agreement": "a-1", "policy_revision": 7, **facts},
            person={"name": "Zoë Field", "sql": sql},
        )
        with database.writing() as connection:
            return record(connection, entry, now=clock())

    return record_one
