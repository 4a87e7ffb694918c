from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from catalogue import datasets, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import DataFile, Dataset, Release, ReleaseTable
from catalogue.errors import UnknownRelease
from catalogue.release_shelf import ReleaseShelf
from catalogue.table_schema import Column, TableSchema

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def publish(connection: Connection, dataset: DatasetAddress) -> Release:
    if datasets.find(connection, dataset) is None:
        datasets.register(
            connection, Dataset(address=dataset, title=dataset.dataset, created_at=NOW)
        )
    intent = releases.begin(
        connection, dataset, parent=None, by="a publisher", now=NOW, lease=timedelta(hours=1)
    )
    file = DataFile(key=f"{intent.prefix}{'0' * 64}.parquet", sha256="0" * 64, bytes=1, rows=1)
    schema = TableSchema(columns=(Column(name="n", type="BIGINT"),))
    table = ReleaseTable(name="t", contract_version=1, schema=schema, files=(file,))
    return releases.commit(connection, intent, (table,), notes="", now=NOW)


def test_a_dataset_without_a_release_has_no_newest(database) -> None:
    with database.reading() as connection:
        assert ReleaseShelf().latest(connection, DatasetAddress("mhclg", "homes")) is None


def test_the_newest_release_is_read_once_and_the_next_is_noticed(database) -> None:
    shelf = ReleaseShelf(kept=1)
    homes, schools = DatasetAddress("mhclg", "homes"), DatasetAddress("dfe", "schools")
    with database.writing() as connection:
        first = publish(connection, homes)
        other = publish(connection, schools)
    with database.reading() as connection:
        shelved = shelf.latest(connection, homes)
        assert shelved == first
        assert shelf.latest(connection, homes) is shelved
        assert shelf.latest(connection, schools) == other
        assert shelf.latest(connection, homes) == first
    with database.writing() as connection:
        second = publish(connection, homes)
    with database.reading() as connection:
        assert shelf.latest(connection, homes) == second


def test_an_earlier_release_is_read_by_its_number(database) -> None:
    shelf = ReleaseShelf()
    homes = DatasetAddress("mhclg", "homes")
    with database.writing() as connection:
        first = publish(connection, homes)
        second = publish(connection, homes)
    with database.reading() as connection:
        assert shelf.latest(connection, homes) == second
        assert shelf.read(connection, homes, 1) == first
        with pytest.raises(UnknownRelease):
            shelf.read(connection, homes, 3)
