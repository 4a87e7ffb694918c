"""Which files of its tables a statement can leave unopened, by the bounds in their manifests."""

from collections.abc import Sequence

from catalogue.pruning import may_hold
from catalogue.table_schema import TableSchema
from marketplace.engine.query.conditions import Filter
from marketplace.engine.query.statement import Statement
from marketplace.extracts.building import Files
from marketplace.query.permits import Reading


def needed_files(
    statement: Statement, readings: Sequence[Reading], files: Sequence[Files]
) -> list[Files]:
    """For each reading the files, of all of its table's, that may hold a row for the result.

    At least one of each, which tells the types of the columns.
    """
    return [
        _needed(chosen, read.table.schema, _filters(statement, read))
        for read, chosen in zip(readings, files, strict=True)
    ]


def _needed(files: Files, schema: TableSchema, asked: tuple[Filter, ...]) -> Files:
    types = {column.name: column.type for column in schema.columns}
    certain = [
        one.condition for one in asked if one.compares_exactly(types.get(one.condition.column, ""))
    ]
    needed = (file for file in files if all(may_hold(file, schema, one) for one in certain))
    return tuple(needed) or files[:1]


def _filters(statement: Statement, read: Reading) -> tuple[Filter, ...]:
    """What is asked of the table; nothing where the statement names it in both ways."""
    address = read.release.dataset.table(read.table.name)
    names: list[tuple[str, ...]] = [(address.organisation, address.dataset, address.name)]
    if len(read.release.tables) == 1:
        names.append((address.organisation, address.dataset))
    named = [name for name in names if name in statement.tables]
    return statement.filters.get(named[0], ()) if len(named) == 1 else ()
