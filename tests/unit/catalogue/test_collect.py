"""Collection against a model: whatever happens in whatever order, no live object is removed."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection

from catalogue import collect, datasets, records, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import Dataset, Release
from catalogue.errors import IntentExpired, ReleaseConflict
from catalogue.manifest import under_contract, with_table
from catalogue.object_store import StoredObject
from catalogue.releases import Intent
from catalogue.table_schema import Column, TableSchema
from connectors.local_store import LocalStore
from marketplace.database import Database

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
GRACE = timedelta(days=7)
HOMES = DatasetAddress("mhclg", "homes")
SCHEMA = TableSchema(columns=(Column(name="area", type="VARCHAR"),))


class ClockedStore(LocalStore):
    """A folder whose objects are as old as the test's clock says."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.now = START
        self.put_at: dict[str, datetime] = {}

    def put(self, key: str, path: Path) -> None:
        super().put(key, path)
        self.put_at[key] = self.now

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for found in super().list(prefix):
            modified = self.put_at.get(found.key, START)
            yield StoredObject(key=found.key, bytes=found.bytes, modified_at=modified)


class World:
    """A store beside a database, and the steps that publishers and the operator take there."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.store = ClockedStore(folder / "objects")
        with database.writing() as connection:
            for table in reversed(records.metadata.sorted_tables):
                connection.execute(table.delete())
            datasets.register(connection, Dataset(address=HOMES, title="H", created_at=START))

    @property
    def now(self) -> datetime:
        return self.store.now

    def begin(self, lease: timedelta = timedelta(hours=6)) -> Intent:
        with self.database.writing() as connection:
            return releases.begin(
                connection, HOMES, parent=None, by="ada", now=self.now, lease=lease
            )

    def upload(self, intent: Intent, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / digest
        path.write_bytes(content)
        return releases.upload(self.store, intent, path, sha256=digest, rows=1).key

    def commit(self, intent: Intent, keys: list[str], name: str, *, crash: bool = False) -> Release:
        files = [
            releases.upload(
                self.store, intent, self.folder / Path(key).stem, sha256=Path(key).stem, rows=1
            )
            for key in keys
        ]
        with self.database.writing() as connection:
            contract = datasets.contract(connection, HOMES.table(name))
            table = under_contract(contract, name=name, schema=SCHEMA, files=files)
            before = releases.latest(connection, HOMES)
            release = releases.commit(
                connection, intent, with_table(before, table), notes="", now=self.now
            )
            if crash:
                connection.rollback()
            return release

    def condemn(self) -> tuple[str, ...]:
        with self.database.writing() as connection:
            found = collect.condemn(connection, self.store, now=self.now, grace=GRACE)
        return tuple(one.key for one in found)

    def sweep(self, *, crash: bool = False) -> tuple[str, ...]:
        with self.database.writing() as connection:
            removed = collect.sweep(connection, self.store, now=self.now, grace=GRACE)
            if crash:
                connection.rollback()
        return tuple(one.key for one in removed)

    def stored(self) -> set[str]:
        return {found.key for found in self.store.list("")}


def test_a_file_of_a_crashed_publish_goes_after_two_graces_and_not_before(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    key = world.upload(world.begin(lease=timedelta(hours=1)), b"x")
    world.store.now += GRACE - timedelta(seconds=1)
    assert world.condemn() == ()
    world.store.now += timedelta(seconds=1)
    assert world.condemn() == (key,)
    assert world.condemn() == (), "told once"
    world.store.now += GRACE - timedelta(seconds=1)
    assert world.sweep() == ()
    assert world.stored() == {key}
    world.store.now += timedelta(seconds=1)
    assert world.sweep() == (key,)
    assert world.stored() == set()


def test_files_of_a_living_intent_stay_however_old_they_are(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    intent = world.begin(lease=timedelta(days=365))
    key = world.upload(intent, b"x")
    world.store.now += timedelta(days=364)
    assert world.condemn() == ()
    assert world.commit(intent, [key], "homes").number == 1


def test_an_intent_is_ended_before_its_files_are_condemned(
    database: Database, tmp_path: Path
) -> None:
    """Even a publisher whose clock is far behind can then not commit a condemned file."""
    world = World(database, tmp_path)
    intent = world.begin(lease=timedelta(hours=1))
    key = world.upload(intent, b"x")
    world.store.now += GRACE
    assert world.condemn() == (key,)
    world.store.now = START
    with pytest.raises(IntentExpired):
        world.commit(intent, [key], "homes")


def test_objects_that_the_database_does_not_know_are_left_alone(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    strangers = {"releases/unknown/x.parquet", "extracts/key/x.parquet", "releases/x"}
    for key in strangers:
        world.store.put(key, path)
    world.store.now += timedelta(days=999)
    assert world.condemn() == ()
    world.store.now += timedelta(days=999)
    assert world.sweep() == ()
    assert world.stored() == strangers


def test_a_condemned_object_that_is_live_after_all_is_acquitted(
    database: Database, tmp_path: Path
) -> None:
    """The protocol never condemns one; the sweep looks again all the same."""
    world = World(database, tmp_path)
    intent = world.begin()
    key = world.upload(intent, b"x")
    with database.writing() as connection:
        connection.execute(
            records.condemned_objects.insert().values(
                key=key, bytes=1, condemned_at=START - 2 * GRACE
            )
        )
    assert world.sweep() == ()
    world.commit(intent, [key], "homes")
    assert world.stored() == {key}


def test_a_commit_and_a_collection_at_the_same_moment_never_lose_a_file(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    for attempt in range(10):
        intent = world.begin(lease=timedelta(hours=1))
        key = world.upload(intent, f"{attempt}".encode())
        world.store.put_at[key] = START - 2 * GRACE
        late = world.now + timedelta(hours=1)
        together = Barrier(2)

        def commit(intent: Intent = intent, key: str = key, together: Barrier = together) -> bool:
            together.wait()
            try:
                world.commit(intent, [key], "homes")
            except IntentExpired:
                return False
            return True

        def collected(late: datetime = late, together: Barrier = together) -> tuple[str, ...]:
            together.wait()
            with database.writing() as connection:
                found = collect.condemn(connection, world.store, now=late, grace=GRACE)
            return tuple(one.key for one in found)

        with ThreadPoolExecutor(2) as pool:
            committing, condemning = pool.submit(commit), pool.submit(collected)
            assert committing.result() == (key not in condemning.result())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_commit_between_the_collectors_own_looks_loses_no_file(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one writer at a time; on PostgreSQL each statement sees its own moment."""
    world = World(database, tmp_path)
    intent = world.begin()
    key = world.upload(intent, b"x")
    world.store.put_at[key] = START - 2 * GRACE
    committed: list[Release] = []

    def then_commit(look: Callable[[Connection], frozenset[str]]) -> None:
        def looking(connection: Connection) -> frozenset[str]:
            seen = look(connection)
            if not committed:
                committed.append(world.commit(intent, [key], "homes"))
            return seen

        monkeypatch.setattr(collect, look.__name__, looking)

    then_commit(collect._closed_intents)
    then_commit(collect._live_keys)
    assert world.condemn() == ()
    assert len(committed) == 1


TABLES = st.sampled_from(["homes", "rents"])
ENDINGS = st.sampled_from(["told", "crash", "answer lost"])


class Collection(RuleBasedStateMachine):
    """Publishers that crash, lose, come late or lose their answer, and a collector among them.

    The model is two dictionaries: what each open intent has uploaded, and what releases hold.
    """

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(self.database, Path(self._folder.name))
        self.intents: list[Intent] = []
        self.open: dict[str, set[str]] = {}
        self.released: dict[int, set[str]] = {}
        self.uploads: dict[str, list[str]] = {}
        self.condemned_at: dict[str, datetime] = {}
        self.count = 0

    def teardown(self) -> None:
        for _ in range(2):
            self.world.store.now += timedelta(days=1000)
            self.world.condemn()
            self.world.sweep()
        live = set().union(*self.released.values())
        assert self.world.stored() == live, "in the end nothing but live objects is left"
        self._folder.cleanup()

    @rule(days=st.sampled_from([0.01, 1, 8, 30]))
    def begin(self, days: float) -> None:
        intent = self.world.begin(lease=timedelta(days=days))
        self.intents.append(intent)
        self.open[intent.id] = set()
        self.uploads[intent.id] = []

    @rule(data=st.data())
    def upload(self, data: st.DataObject) -> None:
        """Also under an intent that ended long ago: a slow publisher does not know."""
        if self.intents:
            self.put(data.draw(st.sampled_from(self.intents)))

    def put(self, intent: Intent) -> None:
        self.count += 1
        key = self.world.upload(intent, f"{self.count}".encode())
        self.uploads[intent.id].append(key)
        if intent.id in self.open:
            self.open[intent.id].add(key)

    @rule(data=st.data(), table=TABLES, ending=ENDINGS)
    def commit(self, data: st.DataObject, table: str, ending: str) -> None:
        """Also late, and after another publisher; of what was uploaded perhaps only a part."""
        if self.intents:
            intent = data.draw(st.sampled_from(self.intents))
            keys = [key for key in self.uploads[intent.id] if key in self.world.stored()]
            self.try_to_commit(
                intent, [key for key in keys if data.draw(st.booleans())], table, ending
            )

    @rule(table=TABLES, ending=ENDINGS)
    def publish(self, table: str, ending: str) -> None:
        """The usual way, without a pause."""
        self.begin(1)
        intent = self.intents[-1]
        self.put(intent)
        self.try_to_commit(intent, self.uploads[intent.id], table, ending)

    def try_to_commit(self, intent: Intent, chosen: list[str], table: str, ending: str) -> None:
        may = intent.id in self.open and self.world.now < intent.expires_at
        wins = may and intent.parent == len(self.released)
        try:
            release = self.world.commit(intent, chosen, table, crash=ending == "crash")
        except IntentExpired:
            assert not may
        except ReleaseConflict:
            assert may
            assert not wins
        else:
            assert wins
            if ending != "crash":
                self.released[release.number] = {
                    file.key for held in release.tables for file in held.files
                }
                self.open.pop(intent.id)
        if ending == "answer lost":
            self.abandon(intent)

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        if self.intents:
            self.abandon(data.draw(st.sampled_from(self.intents)))

    def abandon(self, intent: Intent) -> None:
        with self.world.database.writing() as connection:
            releases.abandon(connection, intent.id)
        self.open.pop(intent.id, None)

    @rule(by=st.sampled_from([0.02, 1, 6.9, 7, 30]))
    def advance(self, by: float) -> None:
        self.world.store.now += timedelta(days=by)

    @rule()
    def condemn(self) -> None:
        for intent in self.intents:
            if intent.expires_at <= self.world.now:
                self.open.pop(intent.id, None)
        condemned = set(self.world.condemn())
        assert not condemned & set().union(*self.released.values(), *self.open.values())
        for key in condemned:
            assert self.world.store.put_at[key] <= self.world.now - GRACE
            self.condemned_at[key] = self.world.now

    @rule(crash=st.booleans())
    def sweep(self, crash: bool) -> None:
        for key in self.world.sweep(crash=crash):
            assert self.condemned_at[key] <= self.world.now - GRACE

    @invariant()
    def every_released_file_is_there_unaltered(self) -> None:
        stored = self.world.stored()
        for key in set().union(*self.released.values()):
            assert key in stored
            content = (self.world.folder / "objects" / key).read_bytes()
            assert hashlib.sha256(content).hexdigest() == Path(key).stem

    @invariant()
    def every_file_of_an_open_intent_is_there(self) -> None:
        assert set().union(*self.open.values()) <= self.world.stored()


def test_no_order_of_events_removes_a_live_object(database: Database, database_url: str) -> None:
    class Here(Collection):
        pass

    Here.database = database
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25 if database_url.startswith("sqlite") else 8,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
