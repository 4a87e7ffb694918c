"""Whether a table as it is can be served under a scope: do its columns exist, and are they of types
that the scope's conditions and masks can be applied to?

Asked when something is requested or approved, and again at every use. A condition that a type makes
meaningless is a fault, never a condition that is left out.
"""

import re
from collections.abc import Iterator, Mapping
from typing import assert_never

from access_policies import sql_types
from access_policies.scope import (
    AtLeast,
    AtMost,
    Constant,
    FirstCharacters,
    KeyedHash,
    Mask,
    MonthOnly,
    NoValue,
    PostcodeDistrict,
    RowCondition,
    RowsBetweenDays,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    RowsWithValues,
    TableScope,
    YearOnly,
    columns_chosen_by,
    conditions_of,
)

Types = Mapping[str, str]
"""The columns of a table by name, each with its SQL type as DuckDB prints it."""

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
"""What a kind of identifier is called: `nhs_number`, `nino`, `uprn`."""

_MOST_CHARACTERS = 1000


def faults(scope: TableScope, types: Types) -> tuple[str, ...]:
    """Say in sentences what of a scope the columns of its table cannot be held to."""
    return tuple(dict.fromkeys((*_row_faults(scope, types), *_mask_faults(scope, types))))


def changed(scope: TableScope, types: Types) -> tuple[str, ...]:
    """Say which columns that the scope rests on have another type than when it was agreed."""
    return tuple(
        f'The column "{agreed.column}" is {types[agreed.column]} where {agreed.type} was agreed.'
        for agreed in scope.types
        if agreed.column in types and types[agreed.column] != agreed.type
    )


def rests_on(scope: TableScope) -> tuple[str, ...]:
    """The columns that rows are chosen by or that are masked."""
    masked = (one.column for one in scope.masks)
    return tuple(dict.fromkeys((*columns_chosen_by(scope.rows), *masked)))


def _row_faults(scope: TableScope, types: Types) -> Iterator[str]:
    if isinstance(scope.rows, RowsMeetingAll) and len(scope.rows.conditions) < 2:
        yield f'Rows of "{scope.table}" are to meet several conditions, but fewer than two are named.'
    for condition in conditions_of(scope.rows):
        if isinstance(condition, RowsInPlaces):
            if not condition.places:
                yield f'Rows of "{scope.table}" are by place, but no place is named.'
            continue
        sql_type = types.get(condition.column)
        if sql_type is None:
            yield f'"{scope.table}" has no column "{condition.column}".'
        else:
            yield from _condition_faults(scope.table, condition, sql_type)


def _condition_faults(table: str, condition: RowCondition, sql_type: str) -> Iterator[str]:
    match condition:
        case RowsInPlaces():
            return
        case RowsWithValues(column=column, values=values):
            if not values:
                yield f'Rows of "{table}" are by value, but no value is named.'
            if not sql_types.is_compared_as_text(sql_type):
                yield f'Rows cannot be chosen by values of "{column}", which is {sql_type}.'
                return
            for value in values:
                if (written := sql_types.as_written(value, sql_type)) != value:
                    meant = f'; write "{written}"' if written is not None else ""
                    yield f'"{value[:80]}" is not how a {sql_type} of "{column}" is written{meant}.'
        case RowsInRange(column=column, least=least, most=most):
            if not sql_types.is_number(sql_type):
                yield f'"{column}" is {sql_type}; a range is of numbers.'
            elif least is None and most is None:
                yield f'The range of "{column}" has no bound.'
            elif not all(
                sql_types.is_plain_number(bound) for bound in (least, most) if bound is not None
            ):
                yield f'A bound of "{column}" is not a number of at most 38 digits.'
            elif least is not None and most is not None and least > most:
                yield f'The range of "{column}" ends before it begins.'
        case RowsBetweenDays(column=column, first=first, last=last):
            if not sql_types.is_day(sql_type):
                yield f'"{column}" is {sql_type}; days are those of a date or a time.'
            elif first is None and last is None:
                yield f'The days of "{column}" have neither a first nor a last.'
            elif first is not None and last is not None and first > last:
                yield f'The days of "{column}" end before they begin.'
        case _:
            assert_never(condition)


def _mask_faults(scope: TableScope, types: Types) -> Iterator[str]:
    masked = [one.column for one in scope.masks]
    for column in dict.fromkeys(masked):
        if masked.count(column) > 1:
            yield f'The column "{column}" of "{scope.table}" is masked twice.'
        if column not in scope.columns:
            yield f'The column "{column}" of "{scope.table}" is masked but not among those shown.'
    for one in scope.masks:
        if one.column in types and not _fits(one.mask, types[one.column]):
            yield f'{_wanted(one.mask)}; "{one.column}" is {types[one.column]}.'


def _fits(mask: Mask, sql_type: str) -> bool:
    match mask:
        case NoValue():
            return True
        case Constant(value=value):
            return (
                sql_types.is_compared_as_text(sql_type)
                and sql_types.as_written(value, sql_type) == value
            )
        case PostcodeDistrict():
            return sql_type == "VARCHAR"
        case FirstCharacters(count=count):
            return sql_type == "VARCHAR" and 1 <= count <= _MOST_CHARACTERS
        case MonthOnly() | YearOnly():
            return sql_types.is_day(sql_type)
        case AtMost(bound=bound) | AtLeast(bound=bound):
            return (
                sql_types.is_number(sql_type)
                and sql_types.is_plain_number(bound)
                and sql_types.holds(sql_type, bound)
            )
        case KeyedHash(identifier=identifier):
            return (sql_type in ("VARCHAR", "UUID") or sql_types.is_whole_number(sql_type)) and (
                IDENTIFIER.fullmatch(identifier) is not None
            )
        case _:
            assert_never(mask)


def _wanted(mask: Mask) -> str:
    match mask:
        case NoValue():
            return "Any column can be left empty"
        case Constant(value=value):
            return f'A constant is a value of its column, as that is written, and "{value[:80]}" is none'
        case PostcodeDistrict():
            return "A postcode's district is taken of text"
        case FirstCharacters():
            return f"The first characters, from 1 to {_MOST_CHARACTERS}, are taken of text"
        case MonthOnly() | YearOnly():
            return "A month or year is taken of a date or a time"
        case AtMost(bound=bound) | AtLeast(bound=bound):
            return f"A bound is a number that its column can hold, and {bound} is none"
        case KeyedHash():
            return "A keyed hash is of text or whole numbers, and of a named kind of identifier"
        case _:
            assert_never(mask)
