"""From what people write of a scope to tables, columns and places by name; and what it lacks.

A resolved scope holds no `*` and no place names: a column that a later release adds is not in it.
A keyed hash in it names its kind of identifier and the project whose key is used.
"""

from collections.abc import Iterator, Mapping
from itertools import chain

import msgspec

from access_policies import scope_fit
from access_policies.scope import (
    AllRows,
    ColumnType,
    KeyedHash,
    MaskedColumn,
    RowCondition,
    RowsInPlaces,
    RowsWithValues,
    TableScope,
    conditions_of,
    meeting_all,
)
from catalogue.places import Places
from catalogue.table_schema import TableSchema
from marketplace import enforcement
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


def resolve(
    written: Scope, contracts: Mapping[str, TableSchema], places: Places, *, project: str | None
) -> Scope:
    """Write out columns in the contract's order, places as codes, and whose key a hash is made by.

    Without a `project` nothing can be hashed. Raises InvalidSharing with a line per fault,
    UnknownPlace.
    """
    names = [table.table for table in written]
    faults = [f'The table "{name}" is named twice.' for name in set(names) if names.count(name) > 1]
    faults += [f'There is no table "{name}".' for name in names if name not in contracts]
    if not written:
        faults.append("No table is named.")
    resolved = []
    for table in written:
        if (schema := contracts.get(table.table)) is not None:
            named = _resolved(table, schema, project)
            faults += _faults(table, named, schema, project)
            resolved.append(named)
    if faults:
        raise InvalidSharing(
            "The scope does not fit the dataset.",
            next_step="Look at its tables and columns with: marketplace dataset.",
            lines=few(faults),
        )
    return tuple(
        msgspec.structs.replace(
            table,
            rows=meeting_all(tuple(_placed(one, places) for one in conditions_of(table.rows))),
        )
        for table in resolved
    )


def written_within(given: Scope, asked: Scope) -> Scope:
    """An approval's scope with `*` as all columns asked of that table."""
    columns = {table.table: table.columns for table in asked}
    return tuple(
        msgspec.structs.replace(table, columns=columns.get(table.table, table.columns))
        if ALL_COLUMNS in table.columns
        else table
        for table in given
    )


def gone_from(scope: Scope, contracts: Mapping[str, TableSchema]) -> tuple[str, ...]:
    """Say what of an agreed scope a release no longer has so: such an agreement is suspended."""
    return tuple(
        chain.from_iterable(
            enforcement.suspended_by(table, contracts[table.table])
            if table.table in contracts
            else (f'The table "{table.table}" is gone.',)
            for table in scope
        )
    )


def _faults(
    written: TableScope, named: TableScope, schema: TableSchema, project: str | None
) -> Iterator[str]:
    if not written.columns:
        yield f'No column of "{written.table}" is named.'
    for name in written.columns:
        if name != ALL_COLUMNS and name not in schema.names:
            yield f'"{written.table}" has no column "{name}".'
    by_place = any(isinstance(one, RowsInPlaces) for one in conditions_of(written.rows))
    if by_place and schema.place_column is None:
        yield f'"{written.table}" marks no column with area codes, so rows cannot be by place.'
    yield from _hash_faults(written, schema, project)
    yield from scope_fit.faults(named, _types(schema))


def _hash_faults(written: TableScope, schema: TableSchema, project: str | None) -> Iterator[str]:
    for one in written.masks:
        if not isinstance(one.mask, KeyedHash):
            continue
        if project is None:
            yield f'"{one.column}" cannot be hashed for an audience: a key belongs to one project.'
        marked = _identifier(one.column, schema)
        if marked and one.mask.identifier not in ("", marked):
            yield f'The contract marks "{one.column}" as {marked}, not as {one.mask.identifier}.'


def _resolved(table: TableScope, schema: TableSchema, project: str | None) -> TableScope:
    wanted = schema.names if ALL_COLUMNS in table.columns else table.columns
    named = msgspec.structs.replace(
        table,
        columns=tuple(name for name in schema.names if name in wanted),
        masks=tuple(_masked(one, schema, project) for one in table.masks),
    )
    types = _types(schema)
    return msgspec.structs.replace(
        named,
        types=tuple(
            ColumnType(column, types[column])
            for column in scope_fit.rests_on(named)
            if column in types
        ),
    )


def _masked(one: MaskedColumn, schema: TableSchema, project: str | None) -> MaskedColumn:
    if not isinstance(one.mask, KeyedHash):
        return one
    identifier = one.mask.identifier or _identifier(one.column, schema)
    return MaskedColumn(one.column, KeyedHash(identifier=identifier, project=project or ""))


def _placed(condition: RowCondition, places: Places) -> RowCondition:
    match condition:
        case RowsInPlaces(places=named):
            return RowsInPlaces(
                places=tuple(dict.fromkeys(places.find(name).code for name in named))
            )
        case RowsWithValues(column=column, values=values):
            return RowsWithValues(column=column, values=tuple(dict.fromkeys(values)))
        case _:
            return condition


def _types(schema: TableSchema) -> dict[str, str]:
    return {column.name: column.type for column in schema.columns}


def _identifier(name: str, schema: TableSchema) -> str:
    return next((column.identifier for column in schema.columns if column.name == name), "")
