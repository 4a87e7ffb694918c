"""What nobody can use goes after a second look and a grace period; what anybody can use stays."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from catalogue import condemned, datasets, records, releases
from catalogue.address import DatasetAddress
from catalogue.condemned import Condemned
from catalogue.dataset import DataFile, Dataset
from catalogue.errors import ObjectMissing
from catalogue.manifest import under_contract, with_table
from catalogue.object_store import ObjectStore
from catalogue.releases import Intent
from catalogue.table_schema import Column, TableSchema
from connectors.local_store import LocalStore
from marketplace import extract_records
from marketplace.audit.entries import EntryKind, RecordedEntry, latest
from marketplace.cli import main
from marketplace.database import Database, open_database
from marketplace.errors import SettingInvalid
from marketplace.extract_records import extracts
from marketplace.housekeeping import Amount, Housekeeping, Tidied
from marketplace.scratch import Scratch

BY = "operator:somebody"
DAY = timedelta(days=1)
GRACE = 7 * DAY
IDLE = 30 * DAY
HOMES = DatasetAddress("mhclg", "homes")
SCHEMA = TableSchema(columns=(Column(name="area", type="VARCHAR"),))
NOTHING = Amount()


class Place:
    """A database and a store with one dataset, and what publishers and queries leave there."""

    def __init__(self, database: Database, store: ObjectStore, folder: Path, clock) -> None:
        self.database = database
        self.store = store
        self.clock = clock
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._folder = folder
        # The store tells the time itself, and a file is never younger than the real present.
        clock.now = datetime.now(UTC)
        with database.writing() as connection:
            datasets.register(connection, Dataset(address=HOMES, title="H", created_at=clock()))

    def tidy(self, *, dry_run: bool = False) -> Tidied:
        housekeeping = Housekeeping(
            database=self.database, store=self.store, scratch=self.scratch, clock=self.clock
        )
        return housekeeping.tidy(grace=GRACE, idle=IDLE, by=BY, dry_run=dry_run)

    def upload(self, content: bytes) -> tuple[Intent, DataFile]:
        """Begin a publish and store its file."""
        with self.database.writing() as connection:
            intent = releases.begin(
                connection, HOMES, parent=None, by="ada", now=self.clock(), lease=DAY / 4
            )
        digest = hashlib.sha256(content).hexdigest()
        path = self._file(content)
        return intent, releases.upload(self.store, intent, path, sha256=digest, rows=1)

    def publish(self, content: bytes) -> DataFile:
        intent, file = self.upload(content)
        with self.database.writing() as connection:
            contract = datasets.contract(connection, HOMES.table("homes"))
            table = under_contract(contract, name="homes", schema=SCHEMA, files=[file])
            before = releases.latest(connection, HOMES)
            releases.commit(
                connection, intent, with_table(before, table), notes="", now=self.clock()
            )
        return file

    def begin_extract(self, key: str, content: bytes = b"some rows") -> tuple[DataFile, ...]:
        """Build an extract up to the point before it is recorded."""
        digest = hashlib.sha256(content).hexdigest()
        file = DataFile(
            key=f"extracts/{key}/{digest}.parquet", sha256=digest, bytes=len(content), rows=1
        )
        with self.database.writing() as connection:
            extract_records.announce(connection, [file], now=self.clock())
        self.store.put(file.key, self._file(content))
        return (file,)

    def keep_extract(self, key: str, files: tuple[DataFile, ...]) -> None:
        with self.database.writing() as connection:
            extract_records.keep(connection, key, files, now=self.clock())

    def extract(self, key: str) -> tuple[DataFile, ...]:
        files = self.begin_extract(key)
        self.keep_extract(key, files)
        return files

    def stored(self) -> set[str]:
        return {found.key for found in self.store.list("")}

    def rows(self) -> list[object]:
        """Everything that housekeeping could change in the database."""
        tables = (records.condemned_objects, records.intents, records.release_files, extracts)
        with self.database.reading() as connection:
            found = [connection.execute(select(table)).all() for table in tables]
            return [*found, latest(connection)]

    def removals(self) -> tuple[RecordedEntry, ...]:
        with self.database.reading() as connection:
            return latest(connection, kinds=[EntryKind.FILES_REMOVED])

    def _file(self, content: bytes) -> Path:
        path = self._folder / hashlib.sha256(content).hexdigest()
        path.write_bytes(content)
        return path


@pytest.fixture
def place(database: Database, object_store: ObjectStore, tmp_path: Path, clock) -> Place:
    """On both databases and both kinds of store."""
    return Place(database, object_store, tmp_path, clock)


def test_an_abandoned_file_goes_at_the_second_run_after_the_grace_and_released_ones_stay(
    place: Place,
) -> None:
    live = {place.publish(b"first").key, place.publish(b"second").key}
    _, left = place.upload(b"left behind")
    place.clock.advance(GRACE + DAY)
    assert place.tidy().abandoned_condemned == Amount(files=1, bytes=left.bytes)
    place.clock.advance(GRACE - timedelta(seconds=1))
    assert place.tidy().abandoned_removed == NOTHING
    assert place.stored() == {left.key, *live}
    place.clock.advance(timedelta(seconds=1))
    assert place.tidy().abandoned_removed == Amount(files=1, bytes=left.bytes)
    assert place.stored() == live
    place.clock.advance(99 * GRACE)
    place.tidy()
    place.clock.advance(99 * GRACE)
    place.tidy()
    assert place.stored() == live


def test_an_extract_goes_only_after_it_was_idle_and_then_condemned_for_the_grace(
    place: Place,
) -> None:
    (idle,) = place.extract("idle")
    (read,) = place.extract("read")
    place.clock.advance(IDLE)
    with place.database.writing() as connection:
        extract_records.touch(connection, "read", now=place.clock())
    place.clock.advance(timedelta(seconds=1))
    assert place.tidy().extracts_condemned == Amount(files=1, bytes=idle.bytes)
    with place.database.reading() as connection:
        assert extract_records.find(connection, "idle") is None, "it is built anew from here on"
    place.clock.advance(GRACE - timedelta(seconds=1))
    assert place.tidy().extracts_removed == NOTHING
    assert place.stored() == {idle.key, read.key}
    place.clock.advance(timedelta(seconds=1))
    assert place.tidy().extracts_removed == Amount(files=1, bytes=idle.bytes)
    assert place.stored() == {read.key}


def test_an_extract_can_be_dropped_built_again_and_dropped_again(place: Place) -> None:
    place.extract("key")
    place.clock.advance(IDLE + DAY)
    place.tidy()
    files = place.begin_extract("key/again")
    place.keep_extract("key", files)
    place.clock.advance(GRACE)
    place.tidy()
    assert place.stored() == {file.key for file in files}


def test_what_a_broken_off_build_left_goes_and_a_slow_build_is_not_recorded(place: Place) -> None:
    files = place.begin_extract("slow")
    place.clock.advance(GRACE - timedelta(seconds=1))
    place.tidy()
    assert place.stored() == {file.key for file in files}
    place.clock.advance(timedelta(seconds=1))
    place.tidy()
    assert place.stored() == set()
    with pytest.raises(ObjectMissing):
        place.keep_extract("slow", files)
    with place.database.reading() as connection:
        assert extract_records.find(connection, "slow") is None


def test_files_that_the_database_does_not_know_are_left_alone(place: Place) -> None:
    """The database may be an older backup, or another marketplace's."""
    strangers = {"extracts/key/build/x.parquet", "releases/unknown/x.parquet"}
    for key in strangers:
        place.store.put(key, place._file(b"x"))
    for _ in range(3):
        place.clock.advance(99 * GRACE)
        place.tidy()
    assert place.stored() == strangers


def test_a_dry_run_says_what_would_go_and_changes_nothing(place: Place) -> None:
    place.publish(b"first")
    place.upload(b"left behind")
    place.extract("idle")
    place.clock.advance(IDLE + DAY)
    place.tidy()
    place.upload(b"left behind later")
    place.extract("idle/later")
    _scratch_folder(place, "killed", days_old=99)
    place.clock.advance(IDLE + DAY)
    before = (place.stored(), place.rows(), list(place.scratch.rglob("*")))
    foretold = place.tidy(dry_run=True)
    assert (place.stored(), place.rows(), list(place.scratch.rglob("*"))) == before
    done = place.tidy()
    assert foretold.dry_run
    assert msgspec.structs.replace(foretold, dry_run=False) == done
    assert NOTHING not in msgspec.structs.astuple(done)


def test_each_removal_is_in_the_audit_log_and_a_run_that_removes_nothing_is_not(
    place: Place,
) -> None:
    place.upload(b"left behind")
    place.extract("idle")
    place.clock.advance(IDLE + DAY)
    place.tidy()
    assert place.removals() == ()
    place.clock.advance(GRACE)
    place.tidy()
    place.tidy()
    entries = place.removals()
    assert {entry.facts["what"]: entry.facts["bytes"] for entry in entries} == {
        "abandoned publishes": len(b"left behind"),
        "unused extracts": len(b"some rows"),
    }
    assert [entry.facts["files"] for entry in entries] == [1, 1]
    assert {entry.person["by"] for entry in entries} == {BY}


@pytest.mark.parametrize("object_store", ["local"], indirect=True)
def test_many_files_go_in_several_transactions_each_with_its_entry(place: Place) -> None:
    gone = [Condemned(key=f"extracts/key/{number:03}", bytes=2) for number in range(450)]
    with place.database.writing() as connection:
        condemned.condemn(connection, gone, now=place.clock() - GRACE)
    assert place.tidy(dry_run=True).extracts_removed == Amount(files=450, bytes=900)
    assert place.tidy().extracts_removed == Amount(files=450, bytes=900)
    assert sorted(entry.facts["files"] for entry in place.removals()) == [50, 200, 200]


@pytest.mark.parametrize("object_store", ["local"], indirect=True)
def test_two_runs_at_the_same_moment_remove_each_file_once(place: Place) -> None:
    gone = [Condemned(key=f"extracts/key/{number:03}", bytes=1) for number in range(20)]
    with place.database.writing() as connection:
        condemned.condemn(connection, gone, now=place.clock() - GRACE)
    together = Barrier(2)

    def run(_: int) -> int:
        together.wait()
        return place.tidy().extracts_removed.files

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, range(2))) == [0, 20]
    assert len(place.removals()) == 1


@pytest.mark.parametrize("object_store", ["local"], indirect=True)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_one_run_is_about_to_remove_another_waits_for(place: Place) -> None:
    """On SQLite there is one writer at a time anyway."""
    gone = [Condemned(key="extracts/key/x", bytes=1)]
    with place.database.writing() as connection:
        condemned.condemn(connection, gone, now=place.clock() - GRACE)
    with place.database.writing() as first, place.database.writing() as second:
        assert condemned.due(first, "extracts/", now=place.clock(), grace=GRACE) == (*gone,)
        second.execute(text("SET LOCAL lock_timeout = '20ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            condemned.due(second, "extracts/", now=place.clock(), grace=GRACE)
        second.rollback()


@pytest.mark.parametrize(("grace", "idle"), [(DAY / 2, IDLE), (GRACE, DAY / 2)])
def test_times_below_a_day_are_refused(
    tmp_path: Path, clock, grace: timedelta, idle: timedelta
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'none.db'}")
    housekeeping = Housekeeping(
        database=database, store=LocalStore(tmp_path / "objects"), scratch=tmp_path, clock=clock
    )
    with pytest.raises(SettingInvalid):
        housekeeping.tidy(grace=grace, idle=idle, by=BY)
    database.close()


@pytest.fixture
def quiet_place(sqlite_template: Path, tmp_path: Path, clock) -> Iterator[Place]:
    """On SQLite and a folder, where neither matters."""
    path = tmp_path / "data" / "marketplace.db"
    path.parent.mkdir()
    path.write_bytes(sqlite_template.read_bytes())
    database = open_database(f"sqlite:///{path}")
    yield Place(database, LocalStore(path.parent / "objects"), path.parent, clock)
    database.close()


def _scratch_folder(place: Place, name: str, *, days_old: int) -> Path:
    folder = place.scratch / name
    (folder / "spill").mkdir(parents=True)
    (folder / "spill" / "file").write_bytes(b"12345")
    _age(place, folder, days_old)
    return folder


def _age(place: Place, folder: Path, days_old: int) -> None:
    moment = (place.clock() - days_old * DAY).timestamp()
    os.utime(folder, (moment, moment))


def test_the_folder_of_a_living_process_stays_however_old_it_is(quiet_place: Place) -> None:
    living = Scratch(quiet_place.scratch)
    _age(quiet_place, living.path, 99)
    assert quiet_place.tidy().scratch_removed == NOTHING
    assert living.path.is_dir()
    living.close()
    assert not living.path.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from marketplace.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "half").write_bytes(b"12345")
print(scratch.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_process_goes_after_a_day(quiet_place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(quiet_place.scratch)], capture_output=True, text=True
    )
    folder = Path(done.stdout.strip())
    assert folder.parent == quiet_place.scratch
    quiet_place.clock.now = datetime.now(UTC)
    assert quiet_place.tidy().scratch_removed == NOTHING, "it may not have locked it yet"
    assert folder.is_dir()
    _age(quiet_place, folder, 2)
    assert quiet_place.tidy().scratch_removed == Amount(files=1, bytes=5)
    assert list(quiet_place.scratch.iterdir()) == []


def test_what_a_link_in_a_scratch_folder_leads_to_stays(quiet_place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    folder = _scratch_folder(quiet_place, "killed", days_old=2)
    (folder / "link").symlink_to(outside)
    _age(quiet_place, folder, 2)
    (quiet_place.scratch / "link").symlink_to(outside)
    quiet_place.tidy()
    assert not folder.exists()
    assert (outside / "file").read_bytes() == b"precious"


def test_the_operator_runs_it_from_the_command_line(
    quiet_place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MARKETPLACE_DATABASE", "MARKETPLACE_STORE"):
        monkeypatch.delenv(name, raising=False)
    (file,) = quiet_place.extract("idle")
    with quiet_place.database.writing() as connection:
        extract_records.touch(connection, "idle", now=quiet_place.clock() - 5 * DAY)
    tidy = ["admin", "tidy", "--data", str(quiet_place.scratch.parent), "--idle-days", "2"]
    assert main([*tidy, "--dry-run", "--json"]) == 0
    foretold = msgspec.json.decode(capsys.readouterr().out, type=Tidied)
    assert main([*tidy, "--json"]) == 0
    done = msgspec.json.decode(capsys.readouterr().out, type=Tidied)
    assert foretold.extracts_condemned == done.extracts_condemned == Amount(files=1, bytes=9)
    assert main(tidy) == 0
    assert "unused extracts" in capsys.readouterr().out
    assert main([*tidy, "--grace-days", "0"]) == 2
    assert quiet_place.stored() == {file.key}
