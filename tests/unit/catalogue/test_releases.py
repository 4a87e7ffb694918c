"""The publish protocol on both databases, over a real store in a folder."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from catalogue import datasets, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import ColumnStatistics, DataFile, Dataset, Release, ReleaseTable
from catalogue.errors import (
    CatalogueError,
    ContractBroken,
    DatasetExists,
    IntentExpired,
    ObjectCorrupted,
    ReleaseConflict,
    UnknownDataset,
    UnknownRelease,
)
from catalogue.manifest import under_contract, with_table
from catalogue.object_store import ObjectStore
from catalogue.releases import Intent
from catalogue.table_schema import Column, TableSchema
from connectors.local_store import LocalStore
from marketplace.database import Database

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE = timedelta(hours=1)
HOMES = DatasetAddress("mhclg", "homes")
SCHEMA = TableSchema(columns=(Column(name="area", type="VARCHAR", place=True),))
WIDER = TableSchema(columns=(*SCHEMA.columns, Column(name="n", type="BIGINT")))

Put = Callable[[Intent, bytes], DataFile]


@pytest.fixture
def homes(database: Database) -> Database:
    """A database in which the dataset is registered."""
    with database.writing() as connection:
        datasets.register(connection, Dataset(address=HOMES, title="Homes", created_at=NOW))
    return database


@pytest.fixture
def put(object_store_folder: ObjectStore, tmp_path: Path) -> Put:
    def upload(intent: Intent, content: bytes) -> DataFile:
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / digest
        path.write_bytes(content)
        return releases.upload(object_store_folder, intent, path, sha256=digest, rows=2)

    return upload


@pytest.fixture
def object_store_folder(tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path / "objects")


def _begin(database: Database, *, parent: int | None = None) -> Intent:
    with database.writing() as connection:
        return releases.begin(connection, HOMES, parent=parent, by="ada", now=NOW, lease=LEASE)


def _table(
    database: Database, file: DataFile, *, name: str = "homes", schema: TableSchema = SCHEMA
) -> ReleaseTable:
    with database.reading() as connection:
        contract = datasets.contract(connection, HOMES.table(name))
    return under_contract(contract, name=name, schema=schema, files=[file])


def _commit(
    database: Database, intent: Intent, *tables: ReleaseTable, now: datetime = NOW
) -> Release:
    with database.writing() as connection:
        return releases.commit(connection, intent, tables, notes="first", now=now)


def _publish(
    database: Database,
    put: Put,
    content: bytes,
    *,
    name: str = "homes",
    schema: TableSchema = SCHEMA,
) -> Release:
    intent = _begin(database)
    table = _table(database, put(intent, content), name=name, schema=schema)
    with database.writing() as connection:
        before = releases.latest(connection, HOMES)
        return releases.commit(connection, intent, with_table(before, table), notes="", now=NOW)


def test_a_committed_release_reads_back_as_it_was_published(homes: Database, put: Put) -> None:
    intent = _begin(homes)
    file = put(intent, b"content")
    statistics = ColumnStatistics(name="area", minimum="a", maximum=None, nulls=3)
    file = DataFile(
        key=file.key, sha256=file.sha256, bytes=file.bytes, rows=2, columns=(statistics,)
    )
    committed = _commit(homes, intent, _table(homes, file))
    with homes.reading() as connection:
        assert releases.latest(connection, HOMES) == committed
        assert releases.read(connection, HOMES, 1) == committed
        assert releases.outcome(connection, intent.id) == committed
        assert releases.history(connection, HOMES) == (committed,)
    assert committed.number == 1
    assert committed.published_by == "ada"
    assert committed.published_at == NOW
    assert committed.tables[0].rows == 2


def test_nothing_is_visible_before_the_commit(homes: Database, put: Put) -> None:
    intent = _begin(homes)
    table = _table(homes, put(intent, b"content"))
    with homes.writing() as connection:
        releases.commit(connection, intent, (table,), notes="", now=NOW)
        connection.rollback()
    with homes.reading() as connection:
        assert releases.latest(connection, HOMES) is None
        assert releases.outcome(connection, intent.id) is None
        assert datasets.contract(connection, HOMES.table("homes")) is None
        with pytest.raises(UnknownRelease):
            releases.read(connection, HOMES, 1)
    assert _commit(homes, intent, table).number == 1, "the same intent may still commit"


def test_a_second_publisher_on_the_same_parent_is_refused_with_the_number_that_won(
    homes: Database, put: Put
) -> None:
    first, second = _begin(homes), _begin(homes)
    winner, loser = (_table(homes, put(intent, b"x")) for intent in (first, second))
    _commit(homes, first, winner)
    with pytest.raises(ReleaseConflict, match=r"Release 1 of mhclg\.homes"):
        _commit(homes, second, loser)
    with homes.reading() as connection:
        assert [release.number for release in releases.history(connection, HOMES)] == [1]


def test_of_32_publishers_at_once_exactly_one_wins(homes: Database, put: Put) -> None:
    publishers = 32
    intents = [_begin(homes) for _ in range(publishers)]
    tables = [_table(homes, put(intent, b"x")) for intent in intents]
    together = Barrier(publishers)

    def publish(number: int) -> Release | str:
        together.wait()
        try:
            return _commit(homes, intents[number], tables[number])
        except ReleaseConflict as conflict:
            return conflict.detail

    with ThreadPoolExecutor(publishers) as pool:
        answers = list(pool.map(publish, range(publishers)))
    (winner,) = [answer for answer in answers if isinstance(answer, Release)]
    assert set(answers) - {winner} == {"Release 1 of mhclg.homes was published first."}
    with homes.reading() as connection:
        assert releases.history(connection, HOMES) == (winner,)
        outcomes = [releases.outcome(connection, intent.id) for intent in intents]
    assert [outcome for outcome in outcomes if outcome] == [winner]


def test_publishers_that_try_again_after_losing_lose_no_release(homes: Database, put: Put) -> None:
    publishers = 6

    def publish(number: int) -> None:
        while True:
            try:
                _publish(homes, put, f"content {number}".encode())
            except ReleaseConflict:
                continue
            return

    with ThreadPoolExecutor(publishers) as pool:
        list(pool.map(publish, range(publishers)))
    with homes.reading() as connection:
        history = releases.history(connection, HOMES)
    assert [release.number for release in history] == list(range(publishers, 0, -1))
    contents = {release.tables[0].files[0].sha256 for release in history}
    assert contents == {
        hashlib.sha256(f"content {number}".encode()).hexdigest() for number in range(publishers)
    }


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, -(2**63) - 1, 10**30])
def test_a_number_that_no_release_can_have_is_unknown(
    homes: Database, put: Put, number: int
) -> None:
    _publish(homes, put, b"one")
    with homes.reading() as connection, pytest.raises(UnknownRelease):
        releases.read(connection, HOMES, number)


def test_a_parent_that_is_not_the_latest_is_refused_before_anything_is_uploaded(
    homes: Database, put: Put
) -> None:
    _publish(homes, put, b"one")
    assert _begin(homes, parent=1).number == 2
    with pytest.raises(ReleaseConflict, match="Release 1"):
        _begin(homes, parent=0)
    with pytest.raises(UnknownRelease):
        _begin(homes, parent=2)


def test_a_lease_that_ended_cannot_commit(homes: Database, put: Put) -> None:
    intent = _begin(homes)
    table = _table(homes, put(intent, b"x"))
    with pytest.raises(IntentExpired):
        _commit(homes, intent, table, now=intent.expires_at)
    just_before = intent.expires_at - timedelta(microseconds=1)
    assert _commit(homes, intent, table, now=just_before).number == 1


def test_an_abandoned_intent_cannot_commit_and_its_outcome_is_final(
    homes: Database, put: Put
) -> None:
    intent = _begin(homes)
    table = _table(homes, put(intent, b"x"))
    with homes.writing() as connection:
        releases.abandon(connection, intent.id)
        assert releases.outcome(connection, intent.id) is None
    with pytest.raises(IntentExpired):
        _commit(homes, intent, table)


def test_abandoning_after_a_commit_whose_answer_was_lost_finds_the_release(
    homes: Database, put: Put
) -> None:
    intent = _begin(homes)
    committed = _commit(homes, intent, _table(homes, put(intent, b"x")))
    with homes.writing() as connection:
        releases.abandon(connection, intent.id)
        assert releases.outcome(connection, intent.id) == committed
    with pytest.raises(IntentExpired):
        _commit(homes, intent, *committed.tables)


def test_abandoning_waits_for_a_commit_that_is_under_way(homes: Database, put: Put) -> None:
    intent = _begin(homes)
    table = _table(homes, put(intent, b"x"))
    inside = Barrier(2)

    def commit_slowly() -> Release:
        with homes.writing() as connection:
            release = releases.commit(connection, intent, (table,), notes="", now=NOW)
            inside.wait()
            return release

    def settle() -> Release | None:
        inside.wait()
        with homes.writing() as connection:
            releases.abandon(connection, intent.id)
            return releases.outcome(connection, intent.id)

    with ThreadPoolExecutor(2) as pool:
        committing, settling = pool.submit(commit_slowly), pool.submit(settle)
        assert settling.result() == committing.result()


def test_a_dataset_must_be_registered_by_the_time_of_the_commit(
    database: Database, put: Put
) -> None:
    intent = _begin(database)
    table = _table(database, put(intent, b"x"))
    with pytest.raises(UnknownDataset):
        _commit(database, intent, table)
    with database.writing() as connection:
        datasets.register(connection, Dataset(address=HOMES, title="Homes", created_at=NOW))
        assert releases.commit(connection, intent, (table,), notes="", now=NOW).number == 1


def test_of_many_first_publishers_that_register_the_dataset_as_they_commit_one_wins(
    database: Database, put: Put
) -> None:
    publishers = 8
    intents = [_begin(database) for _ in range(publishers)]
    tables = [_table(database, put(intent, b"x")) for intent in intents]
    together = Barrier(publishers)

    def publish(number: int) -> bool:
        created = NOW + timedelta(seconds=number)
        together.wait()
        try:
            with database.writing() as connection:
                dataset = Dataset(address=HOMES, title="Homes", created_at=created)
                datasets.register(connection, dataset)
                releases.commit(
                    connection, intents[number], (tables[number],), notes="", now=created
                )
        except ReleaseConflict:
            return False
        return True

    with ThreadPoolExecutor(publishers) as pool:
        won = list(pool.map(publish, range(publishers)))
    assert won.count(True) == 1
    with database.reading() as connection:
        dataset = datasets.find(connection, HOMES)
        release = releases.latest(connection, HOMES)
    assert dataset is not None
    assert release is not None
    assert dataset.created_at == release.published_at


def test_publishing_one_table_carries_the_others_over_with_their_files(
    homes: Database, put: Put
) -> None:
    first = _publish(homes, put, b"homes one")
    second = _publish(homes, put, b"rents one", name="rents", schema=WIDER)
    third = _publish(homes, put, b"homes two")
    assert [table.name for table in second.tables] == ["homes", "rents"]
    assert second.table("homes") == first.table("homes")
    assert third.table("rents") == second.table("rents")
    assert third.table("homes") != first.table("homes")
    with homes.reading() as connection:
        assert releases.latest(connection, HOMES) == third
        assert releases.read(connection, HOMES, 1) == first


def test_a_release_without_one_of_its_parents_tables_is_refused(homes: Database, put: Put) -> None:
    _publish(homes, put, b"homes one")
    intent = _begin(homes)
    rents = _table(homes, put(intent, b"rents"), name="rents")
    with pytest.raises(ContractBroken) as refused:
        _commit(homes, intent, rents)
    assert refused.value.lines == ('The table "homes" is gone.',)
    with pytest.raises(ContractBroken) as refused:
        _commit(homes, _begin(homes))
    assert "There is no table." in refused.value.lines


def test_a_contract_has_version_1_at_first_and_a_new_one_only_when_columns_are_added(
    homes: Database, put: Put
) -> None:
    def contract() -> object:
        with homes.reading() as connection:
            return datasets.contract(connection, HOMES.table("homes"))

    _publish(homes, put, b"one")
    assert contract() == (1, SCHEMA)
    _publish(homes, put, b"two")
    assert contract() == (1, SCHEMA)
    release = _publish(homes, put, b"three", schema=WIDER)
    assert contract() == (2, WIDER)
    assert release.tables[0].contract_version == 2
    with pytest.raises(ContractBroken):
        _publish(homes, put, b"four", schema=SCHEMA)
    with homes.reading() as connection:
        assert releases.read(connection, HOMES, 2).tables[0].schema == SCHEMA


def test_a_table_that_claims_a_contract_of_its_own_is_refused(homes: Database, put: Put) -> None:
    _publish(homes, put, b"one")
    intent = _begin(homes)
    file = put(intent, b"two")
    for version, schema in ((2, SCHEMA), (1, WIDER), (3, WIDER)):
        table = ReleaseTable(name="homes", contract_version=version, schema=schema, files=(file,))
        with pytest.raises(ContractBroken):
            _commit(homes, intent, table)


def test_a_file_of_another_publish_cannot_be_released(homes: Database, put: Put) -> None:
    other = _begin(homes)
    stolen = put(other, b"x")
    with pytest.raises(CatalogueError, match="another publish"):
        _commit(homes, _begin(homes), _table(homes, stolen))


def test_an_upload_that_is_tried_again_is_accepted_when_the_bytes_are_the_same(
    homes: Database, put: Put
) -> None:
    intent = _begin(homes)
    first = put(intent, b"content")
    assert put(intent, b"content") == first
    assert first.key == f"releases/{intent.id}/{first.sha256}.parquet"


def test_an_upload_is_refused_when_other_bytes_come_back(
    homes: Database, put: Put, tmp_path: Path, object_store_folder: ObjectStore
) -> None:
    intent = _begin(homes)
    file = put(intent, b"content")
    stored = tmp_path / "objects" / file.key
    stored.chmod(0o644)
    for altered in (b"CONTENT", b"content!", b""):
        stored.write_bytes(altered)
        with pytest.raises(ObjectCorrupted):
            put(intent, b"content")
    lied = tmp_path / "lied"
    lied.write_bytes(b"other")
    with pytest.raises(ObjectCorrupted):
        releases.upload(object_store_folder, intent, lied, sha256="0" * 64, rows=1)


def test_registering_again_with_the_same_details_is_no_error_and_with_others_is(
    homes: Database,
) -> None:
    later = Dataset(address=HOMES, title="Homes", created_at=NOW + timedelta(days=1))
    with homes.writing() as connection:
        datasets.register(connection, later)
        assert datasets.list_all(connection) == (
            Dataset(address=HOMES, title="Homes", created_at=NOW),
        )
    with pytest.raises(DatasetExists), homes.writing() as connection:
        datasets.register(connection, Dataset(address=HOMES, title="Other", created_at=NOW))
    with homes.reading() as connection:
        assert datasets.find(connection, DatasetAddress("mhclg", "other")) is None
