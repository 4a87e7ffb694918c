"""What a scope lets out, as people say it. The same words are shown to who asks and to who decides."""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import assert_never

from access_policies.decision import LimitResult
from access_policies.scope import (
    AllRows,
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
    RowScope,
    RowsInPlaces,
    RowsInRange,
    RowsWithValues,
    TableScope,
    YearOnly,
    conditions_of,
)

PlaceName = Callable[[str], str]
"""Gives a place's area code a name that people know."""

_MOST_LISTED = 12


def of_table(scope: TableScope, place_name: PlaceName) -> str:
    """Which rows and columns of a table, and how far those are shown.

    >>> of_table(TableScope("homes", ("area",), AllRows()), str)
    'homes: all rows; column area.'
    """
    return f"{scope.table}: {of_rows(scope.rows, place_name)}; {_columns(scope)}."


def of_rows(rows: RowScope, place_name: PlaceName) -> str:
    """Which rows; values are quoted, so that an empty one is seen.

    >>> of_rows(RowsWithValues("area", ("Leeds", "")), str)
    'rows where area is "Leeds" or ""'
    """
    if isinstance(rows, AllRows):
        return "all rows"
    return "rows " + " and ".join(_condition(one, place_name) for one in conditions_of(rows))


def of_mask(mask: Mask) -> str:
    """How a column is shown.

    >>> of_mask(AtMost(Decimal(100000)))
    'at most 100000'
    """
    match mask:
        case NoValue():
            return "no value"
        case Constant(value=value):
            return f'always "{value}"'
        case PostcodeDistrict():
            return "postcode district only"
        case FirstCharacters(count=1):
            return "first character only"
        case FirstCharacters(count=count):
            return f"first {count} characters only"
        case MonthOnly():
            return "month only"
        case YearOnly():
            return "year only"
        case AtMost(bound=bound):
            return f"at most {bound:f}"
        case AtLeast(bound=bound):
            return f"at least {bound:f}"
        case KeyedHash(identifier=identifier):
            return f"linked identifier ({identifier})" if identifier else "linked identifier"
        case _:
            assert_never(mask)


def of_limit(limit: LimitResult) -> str:
    """How much one result may have.

    >>> of_limit(LimitResult(rows=1000))
    'One result has at most 1,000 rows.'
    """
    parts = []
    if limit.rows is not None:
        parts.append(f"{limit.rows:,} {'row' if limit.rows == 1 else 'rows'}")
    if limit.bytes is not None:
        parts.append(f"{limit.bytes:,} bytes")
    return f"One result has at most {' and '.join(parts)}."


def _columns(scope: TableScope) -> str:
    """The columns by name, the masked ones always; of many others only how many more."""
    plain = [name for name in scope.columns if scope.mask(name) is None]
    listed = frozenset(plain[:_MOST_LISTED])
    words = []
    for name in scope.columns:
        mask = scope.mask(name)
        if mask is not None:
            words.append(f"{name} ({of_mask(mask)})")
        elif name in listed:
            words.append(name)
    more = len(plain) - len(listed)
    words += [f"{more} more"] if more else []
    return f"{'column' if len(words) == 1 and not more else 'columns'} {_listed(words)}"


def _condition(condition: RowCondition, place_name: PlaceName) -> str:
    match condition:
        case RowsInPlaces(places=places):
            return f"of {_listed([place_name(place) for place in places])}"
        case RowsWithValues(column=column, values=values):
            return f"where {column} is " + " or ".join(f'"{value}"' for value in values)
        case RowsInRange(column=column, least=least, most=most):
            return f"where {column} is " + " and ".join(_range(least, most))
        case RowsBetweenDays(column=column, first=first, last=last):
            return f"where {column} is " + " ".join(_days(first, last))
        case _:
            assert_never(condition)


def _range(least: Decimal | None, most: Decimal | None) -> Iterator[str]:
    if least is not None:
        yield f"at least {least:f}"
    if most is not None:
        yield f"at most {most:f}"


def _days(first: date | None, last: date | None) -> Iterator[str]:
    if first is not None:
        yield f"from {_day(first)}"
    if last is not None:
        yield f"to {_day(last)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"


def _listed(words: list[str]) -> str:
    """The words with commas, and `and` before the last."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
