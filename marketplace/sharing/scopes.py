"""From what people write of a scope to tables, columns and places by name; and whether it is narrower.

A resolved scope holds no `*` and no place names: a column that a later release adds is not in it.
"""

from collections.abc import Iterator, Mapping
from itertools import chain

import msgspec

from access_policies.decision import AllRows, RowScope, RowsInPlaces, RowsWithValues, TableScope
from catalogue.places import Places
from catalogue.table_schema import TableSchema
from marketplace.errors import InvalidSharing
from marketplace.sharing.bounds import few
from marketplace.sharing.draft import ALL_COLUMNS

Scope = tuple[TableScope, ...]


def everything(contracts: Mapping[str, TableSchema]) -> Scope:
    """All columns and rows of every table, as the contracts are now."""
    return tuple(
        TableScope(table=name, columns=schema.names, rows=AllRows())
        for name, schema in contracts.items()
    )


def resolve(written: Scope, contracts: Mapping[str, TableSchema], places: Places) -> Scope:
    """Write out columns in the contract's order and places as codes.

    Raises InvalidSharing with a line per fault, UnknownPlace.
    """
    names = [table.table for table in written]
    faults = [f'The table "{name}" is named twice.' for name in set(names) if names.count(name) > 1]
    faults += [f'There is no table "{name}".' for name in names if name not in contracts]
    known = [table for table in written if table.table in contracts]
    faults += chain.from_iterable(_faults(table, contracts[table.table]) for table in known)
    if not written:
        faults.append("No table is named.")
    if faults:
        raise InvalidSharing(
            "The scope does not fit the dataset.",
            next_step="Look at its tables and columns with: marketplace dataset.",
            lines=few(faults),
        )
    return tuple(_resolved(table, contracts[table.table], places) for table in known)


def written_within(given: Scope, asked: Scope) -> Scope:
    """An approval's scope with `*` as all columns asked of that table."""
    columns = {table.table: table.columns for table in asked}
    return tuple(
        msgspec.structs.replace(table, columns=columns.get(table.table, table.columns))
        if ALL_COLUMNS in table.columns
        else table
        for table in given
    )


def wider(given: Scope, asked: Scope, places: Places) -> tuple[str, ...]:
    """Say in what a resolved scope goes beyond another; nothing where it is as wide or narrower."""
    by_name = {table.table: table for table in asked}
    sentences: list[str] = []
    for table in given:
        of_asked = by_name.get(table.table)
        if of_asked is None:
            sentences.append(f'The table "{table.table}" was not asked for.')
            continue
        beyond = [name for name in table.columns if name not in of_asked.columns]
        sentences += [f'The column "{name}" of {table.table} was not asked for.' for name in beyond]
        if not _within(table.rows, of_asked.rows, places):
            sentences.append(f"The rows of {table.table} go beyond those asked for.")
    return tuple(sentences)


def gone_from(scope: Scope, contracts: Mapping[str, TableSchema]) -> tuple[str, ...]:
    """Say which agreed tables and columns a release no longer has: such an agreement is suspended."""
    sentences: list[str] = []
    for table in scope:
        schema = contracts.get(table.table)
        if schema is None:
            sentences.append(f'The table "{table.table}" is gone.')
            continue
        needed = [*table.columns]
        if isinstance(table.rows, RowsWithValues):
            needed.append(table.rows.column)
        gone = dict.fromkeys(name for name in needed if name not in schema.names)
        sentences += [f'The column "{name}" of {table.table} is gone.' for name in gone]
        if isinstance(table.rows, RowsInPlaces) and schema.place_column is None:
            sentences.append(f"{table.table} no longer marks a column with area codes.")
    return tuple(sentences)


def _faults(table: TableScope, schema: TableSchema) -> Iterator[str]:
    if not table.columns:
        yield f'No column of "{table.table}" is named.'
    for name in table.columns:
        if name != ALL_COLUMNS and name not in schema.names:
            yield f'"{table.table}" has no column "{name}".'
    match table.rows:
        case RowsInPlaces(places=named):
            if schema.place_column is None:
                yield f'"{table.table}" marks no column with area codes, so rows cannot be by place.'
            if not named:
                yield f'Rows of "{table.table}" are by place, but no place is named.'
        case RowsWithValues(column=column, values=values):
            if column not in schema.names:
                yield f'"{table.table}" has no column "{column}".'
            if not values:
                yield f'Rows of "{table.table}" are by value, but no value is named.'
        case AllRows():
            return


def _resolved(table: TableScope, schema: TableSchema, places: Places) -> TableScope:
    wanted = schema.names if ALL_COLUMNS in table.columns else table.columns
    columns = tuple(name for name in schema.names if name in wanted)
    return TableScope(table=table.table, columns=columns, rows=_resolved_rows(table.rows, places))


def _resolved_rows(rows: RowScope, places: Places) -> RowScope:
    match rows:
        case AllRows():
            return rows
        case RowsInPlaces(places=named):
            return RowsInPlaces(
                places=tuple(dict.fromkeys(places.find(name).code for name in named))
            )
        case RowsWithValues(column=column, values=values):
            return RowsWithValues(column=column, values=tuple(dict.fromkeys(values)))


def _within(given: RowScope, asked: RowScope, places: Places) -> bool:
    match asked, given:
        case AllRows(), _:
            return True
        case RowsInPlaces(places=wide), RowsInPlaces(places=narrow):
            return _codes(narrow, places) <= _codes(wide, places)
        case RowsWithValues(), RowsWithValues():
            return given.column == asked.column and set(given.values) <= set(asked.values)
        case _:
            return False


def _codes(named: tuple[str, ...], places: Places) -> frozenset[str]:
    return frozenset(chain.from_iterable(places.codes(code) for code in named))
