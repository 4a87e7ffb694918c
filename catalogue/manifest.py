"""What a release holds, worked out before it is committed: which contract, which tables."""

from collections.abc import Sequence

from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import DataFile, Release, ReleaseTable
from catalogue.errors import ContractBroken, InvalidAddress, UnknownDataset
from catalogue.table_schema import TableSchema, breaches

Contract = tuple[int, TableSchema]
"""A version, counted from 1, and what it says."""


def next_contract(current: Contract | None, offered: TableSchema) -> Contract:
    """The contract that a file of that schema is released under. Raises ContractBroken.

    Version 1 is the schema of the table's first release. A later file keeps the contract that is
    there, whatever order its columns come in; columns that it adds are appended to make the next
    version, and so does another sort order. What the contract says of a column (its place mark, sensitivity, description) stays.
    """
    if current is None:
        return 1, offered
    version, contract = current
    faults = breaches(contract, offered)
    if faults:
        raise ContractBroken(
            "The file does not keep the contract of its table.",
            next_step="Correct the file, or publish it as another table.",
            lines=faults,
        )
    known = set(contract.names)
    added = tuple(column for column in offered.columns if column.name not in known)
    if not added and offered.sort == contract.sort:
        return current
    return version + 1, TableSchema(columns=contract.columns + added, sort=offered.sort)


def under_contract(
    current: Contract | None, *, name: str, schema: TableSchema, files: Sequence[DataFile]
) -> ReleaseTable:
    """A table ready to be released under its contract's next version. Raises ContractBroken.

    The table carries the contract's schema, so its columns are in the contract's order; read
    files by column name.
    """
    version, contract = next_contract(current, schema)
    return ReleaseTable(name=name, contract_version=version, schema=contract, files=tuple(files))


def with_table(parent: Release | None, table: ReleaseTable) -> tuple[ReleaseTable, ...]:
    """All tables of the release after `parent` in which `table` is new or replaced.

    The other tables are carried over as they are, with the same files.
    """
    before = () if parent is None else parent.tables
    if any(kept.name == table.name for kept in before):
        return tuple(table if kept.name == table.name else kept for kept in before)
    return (*before, table)


def resolve_table(release: Release, parts: Sequence[str]) -> TableAddress:
    """The table that the parts of a written address name within its dataset's release.

    `(organisation, dataset)` is the dataset's only table. Raises InvalidAddress where the dataset
    has several, and UnknownDataset where it has no table of the name that is given.
    """
    address = release.dataset
    if tuple(parts[:2]) != (address.organisation, address.dataset) or len(parts) not in (2, 3):
        raise InvalidAddress(f"{'.'.join(parts)[:200]!r} is not a table of {address}.")
    if len(parts) == 3:
        return _named_table(release, parts[2])
    if len(release.tables) == 1:
        return address.table(release.tables[0].name)
    raise InvalidAddress(
        f"{address} has {len(release.tables)} tables, so the name of the table is needed.",
        next_step=f"Write one of: {_written(release)}.",
    )


def check_whole(
    dataset: DatasetAddress, tables: Sequence[ReleaseTable], parent: Release | None
) -> None:
    """Raise ContractBroken unless the tables make a whole release after `parent`.

    At least one table, each name once, and none of the parent's tables left out.
    """
    names = [table.name for table in tables]
    faults = [f'The table "{name}" is there twice.' for name in _repeated(names)]
    before = () if parent is None else parent.tables
    faults += [f'The table "{kept.name}" is gone.' for kept in before if kept.name not in names]
    if not names:
        faults.append("There is no table.")
    if faults:
        raise ContractBroken(f"This is not a whole release of {dataset}.", lines=faults)


def _named_table(release: Release, name: str) -> TableAddress:
    if release.table(name) is None:
        raise UnknownDataset(
            f"{release.dataset} has no table {name[:80]!r}.",
            next_step=f"Write one of: {_written(release)}.",
        )
    return release.dataset.table(name)


def _written(release: Release) -> str:
    return ", ".join(str(release.dataset.table(table.name)) for table in release.tables)


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
