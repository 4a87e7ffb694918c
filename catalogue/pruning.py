"""Which files of a table can hold no row of a condition, by the bounds in its manifest.

Only what is certain counts: a file whose bounds are unknown, a type whose order is not surely known
here, or a constant that is not written as that type is, all leave the file in.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from catalogue.dataset import DataFile
from catalogue.table_schema import TableSchema


class Among(msgspec.Struct, frozen=True):
    """The column's value, as SQL writes it, is one of `values`."""

    column: str
    values: frozenset[str]


class Between(msgspec.Struct, frozen=True):
    """The column's value is no less than `least` and no more than `most`; None is without bound."""

    column: str
    least: str | None = None
    most: str | None = None


Condition = Among | Between
"""A comparison of one column with constants; a row without a value never meets it."""


def may_hold(file: DataFile, schema: TableSchema, condition: Condition) -> bool:
    """False only where it is certain that no row of the file meets the condition.

    Constants are texts as SQL writes them: `-12`, `3.50`, `2024-01-31`, `2024-01-31 09:30:00`.
    """
    found = next((known for known in file.columns if known.name == condition.column), None)
    column = next((column for column in schema.columns if column.name == condition.column), None)
    read = _reader(column.type) if column else None
    if found is None or read is None:
        return True
    lowest, highest = _read(read, found.minimum), _read(read, found.maximum)
    match condition:
        case Among(values=values):
            wanted = (_read(read, value) for value in values)
            return any(_not_above(lowest, one) and _not_above(one, highest) for one in wanted)
        case Between(least=least, most=most):
            return _not_above(_read(read, least), highest) and _not_above(lowest, _read(read, most))


def _not_above(one: Any, other: Any) -> bool:
    """Whether `one` is no greater than `other`; so too where either is not known."""
    return one is None or other is None or bool(one <= other)


def _read(read: Callable[[str], Any], text: str | None) -> Any:
    """A bound or a constant as a value of its type; None where it is not surely one."""
    if text is None:
        return None
    try:
        return read(text)
    except ValueError:  # no such date, for one
        return None


def _reader(sql_type: str) -> Callable[[str], Any] | None:
    """How values of a type are read; None for a type whose order is not known for certain.

    Floating-point numbers are left out (NaN, and bounds that were rounded when they were written),
    as are 128-bit integers, which Parquet stores as such numbers, and instants with a time zone.
    """
    if sql_type.startswith("DECIMAL("):
        return _number
    return _READERS.get(sql_type)


_NUMBER = re.compile(r"-?[0-9]{1,39}(\.[0-9]{1,38})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(
    rf"{_DAY.pattern}( [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,6}})?)?", re.ASCII
)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if _DAY.fullmatch(text) else None


def _moment(text: str) -> datetime | None:
    """Without a zone, as the column is; a day is its midnight."""
    if not _TIME.fullmatch(text):
        return None
    whole, _, part = text.partition(".")
    return datetime.fromisoformat(f"{whole}.{part:0<6}")


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), _number),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"), _number),
    "VARCHAR": str,
    "DATE": _date,
    "TIMESTAMP": _moment,
}
