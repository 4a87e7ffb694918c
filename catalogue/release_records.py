"""How a release and its manifest become rows, and rows a release again."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, RowMapping, Table, and_, func, insert, select
from sqlalchemy.sql import ColumnElement

from catalogue.address import DatasetAddress
from catalogue.dataset import ColumnStatistics, DataFile, Release, ReleaseTable
from catalogue.records import contracts, release_files, release_tables, releases
from catalogue.table_schema import TableSchema


def latest_number(connection: Connection, dataset: DatasetAddress) -> int:
    """The number of the dataset's newest release; 0 where it has none."""
    query = select(func.max(releases.c.number)).where(of_dataset(releases, dataset))
    return connection.execute(query).scalar() or 0


def of_dataset(table: Table, dataset: DatasetAddress) -> ColumnElement[bool]:
    """The condition that a row belongs to the dataset."""
    return and_(table.c.organisation == dataset.organisation, table.c.dataset == dataset.dataset)


def write_manifest(connection: Connection, release: Release) -> None:
    """Insert the tables and files of a release whose own row, and contracts, are already there."""
    place: dict[str, object] = {
        "organisation": release.dataset.organisation,
        "dataset": release.dataset.dataset,
        "number": release.number,
    }
    for position, table in enumerate(release.tables):
        inside = place | {"table_name": table.name}
        connection.execute(
            insert(release_tables).values(
                **inside, position=position, contract_version=table.contract_version
            )
        )
        files = [
            inside | {"position": rank} | _file_row(file) for rank, file in enumerate(table.files)
        ]
        if files:
            connection.execute(insert(release_files), files)


def load(connection: Connection, rows: Iterable[RowMapping]) -> tuple[Release, ...]:
    """The whole releases for rows of `releases`."""
    return tuple(_release(connection, row) for row in rows)


def _release(connection: Connection, row: RowMapping) -> Release:
    dataset = DatasetAddress(row["organisation"], row["dataset"])
    return Release(
        dataset=dataset,
        number=row["number"],
        tables=_tables(connection, dataset, row["number"]),
        published_at=row["published_at"],
        published_by=row["published_by"],
        notes=row["notes"],
    )


def _tables(
    connection: Connection, dataset: DatasetAddress, number: int
) -> tuple[ReleaseTable, ...]:
    contract = and_(
        contracts.c.organisation == release_tables.c.organisation,
        contracts.c.dataset == release_tables.c.dataset,
        contracts.c.table_name == release_tables.c.table_name,
        contracts.c.version == release_tables.c.contract_version,
    )
    query = (
        select(release_tables.c.table_name, contracts.c.version, contracts.c.schema)
        .join_from(release_tables, contracts, contract)
        .where(of_dataset(release_tables, dataset), release_tables.c.number == number)
        .order_by(release_tables.c.position)
    )
    files = _files(connection, dataset, number)
    return tuple(
        ReleaseTable(
            name=row.table_name,
            contract_version=row.version,
            schema=msgspec.json.decode(row.schema, type=TableSchema),
            files=tuple(files.get(row.table_name, ())),
        )
        for row in connection.execute(query)
    )


def _files(
    connection: Connection, dataset: DatasetAddress, number: int
) -> dict[str, list[DataFile]]:
    query = (
        select(release_files)
        .where(of_dataset(release_files, dataset), release_files.c.number == number)
        .order_by(release_files.c.table_name, release_files.c.position)
    )
    found: dict[str, list[DataFile]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["table_name"], []).append(_file(row))
    return found


def _file_row(file: DataFile) -> dict[str, object]:
    return {
        "key": file.key,
        "sha256": file.sha256,
        "bytes": file.bytes,
        "rows": file.rows,
        "columns": msgspec.json.encode(file.columns).decode(),
    }


def _file(row: RowMapping) -> DataFile:
    return DataFile(
        key=row["key"],
        sha256=row["sha256"],
        bytes=row["bytes"],
        rows=row["rows"],
        columns=msgspec.json.decode(row["columns"], type=tuple[ColumnStatistics, ...]),
    )
