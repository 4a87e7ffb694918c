"""Which datasets exist, and the contract that each of their tables keeps."""

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import AccessRights, Dataset, Handling
from catalogue.errors import DatasetExists
from catalogue.records import contracts, datasets
from catalogue.table_schema import TableSchema


def register(connection: Connection, dataset: Dataset) -> None:
    """Enter a dataset; no error where it is already there with the same details.

    `created_at` is not a detail: the first registration keeps its own. Raises DatasetExists where
    the address is taken with other details.
    """
    try:
        with connection.begin_nested():
            connection.execute(insert(datasets).values(_row(dataset)))
    except IntegrityError:
        present = find(connection, dataset.address)
        if present is None or not _same_details(present, dataset):
            raise DatasetExists(
                f"The dataset {dataset.address} is already there with other details.",
                next_step="Publish under another name, or with the details that it has.",
            ) from None


def find(connection: Connection, address: DatasetAddress) -> Dataset | None:
    """The dataset at that address, if there is one."""
    query = select(datasets).where(
        datasets.c.organisation == address.organisation, datasets.c.dataset == address.dataset
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _dataset(row)


def handling(connection: Connection, address: DatasetAddress) -> Handling:
    """How a dataset is to be handled now; one that is not there has no instruction."""
    query = select(datasets.c.handling).where(
        datasets.c.organisation == address.organisation, datasets.c.dataset == address.dataset
    )
    return Handling(connection.execute(query).scalar() or Handling.NONE)


def handled(connection: Connection) -> dict[str, Handling]:
    """The datasets that have an instruction, by address."""
    instructed = select(datasets).where(datasets.c.handling != Handling.NONE.value)
    return {
        f"{row.organisation}.{row.dataset}": Handling(row.handling)
        for row in connection.execute(instructed)
    }


def set_handling(connection: Connection, address: DatasetAddress, handled: Handling) -> None:
    """Change how a dataset is to be handled. The caller advances the policy revision."""
    connection.execute(
        update(datasets)
        .where(
            datasets.c.organisation == address.organisation, datasets.c.dataset == address.dataset
        )
        .values(handling=handled.value)
    )


def list_all(connection: Connection) -> tuple[Dataset, ...]:
    """Every dataset in order of address; the caller decides who may know of which."""
    query = select(datasets).order_by(datasets.c.organisation, datasets.c.dataset)
    return tuple(_dataset(row) for row in connection.execute(query).mappings())


def names(connection: Connection) -> frozenset[str]:
    """Every dataset as `organisation.dataset`; the caller decides who may know of which.

    They are not made into addresses, which takes longer than reading many of them.
    """
    query = select(datasets.c.organisation + "." + datasets.c.dataset)
    return frozenset(connection.execute(query).scalars())


def contract(connection: Connection, address: TableAddress) -> tuple[int, TableSchema] | None:
    """The newest contract of a table and its version; None before the table's first release."""
    query = (
        select(contracts.c.version, contracts.c.schema)
        .where(
            contracts.c.organisation == address.organisation,
            contracts.c.dataset == address.dataset,
            contracts.c.table_name == address.name,
        )
        .order_by(contracts.c.version.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.version, msgspec.json.decode(row.schema, type=TableSchema))


def _same_details(present: Dataset, offered: Dataset) -> bool:
    return msgspec.structs.replace(present, created_at=offered.created_at) == offered


def _row(dataset: Dataset) -> dict[str, object]:
    return {
        "organisation": dataset.address.organisation,
        "dataset": dataset.address.dataset,
        "title": dataset.title,
        "description": dataset.description,
        "licence": dataset.licence,
        "access_rights": dataset.access_rights.value,
        "official_sensitive": dataset.official_sensitive,
        "handling": dataset.handling.value,
        "created_at": dataset.created_at,
    }


def _dataset(row: RowMapping) -> Dataset:
    return Dataset(
        address=DatasetAddress(row["organisation"], row["dataset"]),
        title=row["title"],
        description=row["description"],
        licence=row["licence"],
        access_rights=AccessRights(row["access_rights"]),
        official_sensitive=row["official_sensitive"],
        handling=Handling(row["handling"]),
        created_at=row["created_at"],
    )
