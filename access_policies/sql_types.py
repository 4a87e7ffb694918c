"""What must be known of a column's SQL type to hold conditions and masks to it.

Types are written as DuckDB prints them: `BIGINT`, `DECIMAL(18,2)`, `TIMESTAMP WITH TIME ZONE`.
"""

import re
from datetime import date
from decimal import Context, Decimal, InvalidOperation
from typing import NamedTuple

_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_MOMENTS = frozenset(
    {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
)
_COMPARED_AS_TEXT = frozenset({"VARCHAR", "DATE", "BOOLEAN", "UUID"})
_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)", re.ASCII)
_MOST_DIGITS = 38
_EXACT = Context(prec=4 * _MOST_DIGITS)


class Extent(NamedTuple):
    """The lowest and the highest number of an exact type, and its digits after the point."""

    lowest: Decimal
    highest: Decimal
    scale: int


_WHOLE = {
    name: Extent(Decimal(-(2 ** (bits - 1))), Decimal(2 ** (bits - 1) - 1), 0)
    for name, bits in _BITS.items()
} | {f"U{name}": Extent(Decimal(0), Decimal(2**bits - 1), 0) for name, bits in _BITS.items()}


def is_whole_number(sql_type: str) -> bool:
    """Whether values of the type are whole numbers."""
    return sql_type in _WHOLE


def is_float(sql_type: str) -> bool:
    """Whether values of the type are rounded numbers, with NaN and infinities among them."""
    return sql_type in _FLOATS


def is_number(sql_type: str) -> bool:
    """Whether values of the type are numbers."""
    return is_float(sql_type) or extent(sql_type) is not None


def is_moment(sql_type: str) -> bool:
    """Whether values of the type are times on days."""
    return sql_type in _MOMENTS


def is_day(sql_type: str) -> bool:
    """Whether values of the type are days, or times on days."""
    return sql_type == "DATE" or is_moment(sql_type)


def is_compared_as_text(sql_type: str) -> bool:
    """Whether each value of the type is written in one way only."""
    if sql_type in _COMPARED_AS_TEXT or sql_type.startswith("ENUM("):
        return True
    return extent(sql_type) is not None


def extent(sql_type: str) -> Extent | None:
    """What numbers an exact type has; None for any other type."""
    found = _DECIMAL.fullmatch(sql_type)
    if found is None:
        return _WHOLE.get(sql_type)
    precision, scale = int(found[1]), int(found[2])
    highest = Decimal(10**precision - 1).scaleb(-scale, _EXACT)
    return Extent(highest.copy_negate(), highest, scale)


def holds(sql_type: str, number: Decimal) -> bool:
    """Whether a column of a number type can hold that number; exactly, if its type is exact."""
    exact = extent(sql_type)
    if exact is None:
        return is_float(sql_type)
    units = number.scaleb(exact.scale, _EXACT)
    return units == units.to_integral_value() and exact.lowest <= number <= exact.highest


def is_plain_number(number: Decimal) -> bool:
    """Whether it is finite and short enough to be written out."""
    if not number.is_finite():
        return False
    _, digits, exponent = number.as_tuple()
    short = len(digits) <= _MOST_DIGITS
    return short and isinstance(exponent, int) and -_MOST_DIGITS <= exponent <= 0


def as_written(value: str, sql_type: str) -> str | None:
    """The value as SQL writes it in a type that is compared as text; None where it is none of it."""
    try:
        if (exact := extent(sql_type)) is not None:
            return _number_as_written(Decimal(value), sql_type, exact.scale)
        if sql_type == "DATE":
            return date.fromisoformat(value).isoformat()
    except (ValueError, InvalidOperation):
        return None
    if sql_type == "BOOLEAN":
        return value.lower() if value.lower() in ("true", "false") else None
    return value


def _number_as_written(number: Decimal, sql_type: str, scale: int) -> str | None:
    if not (is_plain_number(number) and holds(sql_type, number)):
        return None
    return f"{number.copy_abs() if number.is_zero() else number:.{scale}f}"
