"""`marketplace audit` on a data folder, and on a copy with nothing but the public key."""

import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marketplace.audit.checkpoint import open_signer
from marketplace.audit.entries import Entry, EntryKind, RecordedEntry, latest, record
from marketplace.audit.log import AuditLog
from marketplace.cli import main
from marketplace.database import open_database
from marketplace.settings import Settings


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, str]:
    """A data folder with one entry in its log, and that entry's name."""
    settings = Settings(data=tmp_path / "data")
    database = open_database(settings.database_url)
    database.migrate()
    said = Entry(kind=EntryKind.READ_DECIDED, person={"name": "Zoë Field"})
    with database.writing() as connection:
        entry = record(connection, said, now=datetime(2026, 11, 22, tzinfo=UTC))
    AuditLog(database, open_signer(settings.data / "keys", settings.origin)).sequence()
    database.close()
    return settings.data, entry


def test_a_copy_verifies_with_the_public_key_and_without_the_signing_key(
    data: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    folder, entry = data
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(folder / "marketplace.db", copy)
    published = ["--public-key", str(folder / "keys" / "audit.pub")]
    assert main(["audit", "verify", "--data", str(copy), *published]) == 0
    assert not (copy / "keys").exists()
    with sqlite3.connect(copy / "marketplace.db") as connection:
        connection.execute("UPDATE audit_entries SET document = document || ' '")
    connection.close()
    assert main(["audit", "verify", "--data", str(copy), *published]) == 9
    assert entry in capfd.readouterr().err
    assert failures(copy) == []


def failures(folder: Path) -> list[RecordedEntry]:
    database = open_database(Settings(data=folder).database_url)
    with database.reading() as connection:
        found = latest(connection, kinds=[EntryKind.AUDIT_FAILED])
    database.close()
    return list(found)


def test_a_failure_is_recorded_where_the_log_is_kept(data: tuple[Path, str]):
    folder, _ = data
    assert main(["audit", "verify", "--data", str(folder)]) == 0
    assert failures(folder) == []
    with sqlite3.connect(folder / "marketplace.db") as connection:
        connection.execute("UPDATE audit_entries SET recorded_at = '2026-11-21T00:00:00.000000Z'")
    connection.close()
    assert main(["audit", "verify", "--data", str(folder)]) == 9
    [failure] = failures(folder)
    assert failure.facts == {"size": 1, "findings": 1}


def test_personal_details_are_erased_and_the_log_still_verifies(data: tuple[Path, str]):
    folder, entry = data
    assert main(["audit", "erase", entry, "--reason", "asked", "--data", str(folder)]) == 0
    assert main(["audit", "erase", entry, "--reason", "asked", "--data", str(folder)]) == 3
    assert main(["audit", "verify", "--data", str(folder)]) == 0
    assert "Zoë".encode() not in (folder / "marketplace.db").read_bytes()
