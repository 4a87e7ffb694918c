"""Conditions on rows in SQL. Whatever is not surely met leaves the row out.

Every expression here is true for the rows that are let out, and false or NULL for all others.
"""

from collections.abc import Iterator
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import assert_never

from access_policies import sql_types
from access_policies.scope import RowsBetweenDays, RowsInRange, RowsWithValues
from marketplace.engine.extract.extract_messages import Condition
from marketplace.engine.instance import identifier, literal

_NEVER = "FALSE"
_EPOCH = date(1970, 1, 1)
_NANOSECONDS_OF_A_DAY = 86_400_000_000_000


def where(condition: Condition, sql_type: str) -> str:
    """The SQL of a condition on a column of that type; false where it cannot be asked of the type."""
    column = identifier(condition.column)
    match condition:
        case RowsWithValues(values=values):
            return _among(column, sql_type, values)
        case RowsInRange(least=least, most=most):
            if not sql_types.is_number(sql_type):
                return _NEVER
            return " AND ".join(_in_range(column, sql_type, least, most))
        case RowsBetweenDays(first=first, last=last):
            if not sql_types.is_day(sql_type):
                return _NEVER
            return " AND ".join(_on_days(column, sql_type, first, last))
        case _:
            assert_never(condition)


def _among(column: str, sql_type: str, values: tuple[str, ...]) -> str:
    """Compared as text; whole numbers as numbers, which is the same and lets row groups be skipped."""
    listed = sorted(set(values))
    if sql_types.is_whole_number(sql_type):
        numbers = [value for value in listed if sql_types.as_written(value, sql_type) == value]
        constants = [_cast(value, sql_type) for value in numbers]
    else:
        column = f"CAST({column} AS VARCHAR)"
        constants = [literal(value) for value in listed]
    return f"{column} IN ({', '.join(constants)})" if constants else _NEVER


def _in_range(
    column: str, sql_type: str, least: Decimal | None, most: Decimal | None
) -> Iterator[str]:
    yield f"isfinite({column})" if sql_types.is_float(sql_type) else f"{column} IS NOT NULL"
    if least is not None:
        yield _bounded(column, ">=", least, sql_type)
    if most is not None:
        yield _bounded(column, "<=", most, sql_type)


def _bounded(column: str, sign: str, bound: Decimal, sql_type: str) -> str:
    """Compare with the bound as the type can write it: of an exact type, the nearest number inside."""
    exact = sql_types.extent(sql_type)
    if exact is None:
        return f"{column} {sign} {_cast(f'{bound:f}', sql_type)}"
    inward = ROUND_CEILING if sign == ">=" else ROUND_FLOOR
    inside = bound.quantize(Decimal(1).scaleb(-exact.scale), inward, Context(prec=200))
    if inside < exact.lowest:
        return "TRUE" if sign == ">=" else _NEVER
    if inside > exact.highest:
        return _NEVER if sign == ">=" else "TRUE"
    return f"{column} {sign} {_cast(f'{inside:f}', sql_type)}"


def _on_days(column: str, sql_type: str, first: date | None, last: date | None) -> Iterator[str]:
    """A day of a time is half-open: from its midnight up to, and without, the next one, in UTC."""
    yield f"isfinite({column})"
    if sql_type == "TIMESTAMP_NS":
        # Most days are beyond what nanoseconds in 64 bits can say; 128 bits hold their midnights.
        column = f"CAST(epoch_ns({column}) AS HUGEINT)"
    if first is not None:
        yield f"{column} >= {_midnight(first, sql_type)}"
    if last is None:
        return
    if sql_type == "DATE":
        yield f"{column} <= {_midnight(last, sql_type)}"
    elif sql_type == "TIMESTAMP_NS":
        yield f"{column} < {_midnight(last, sql_type)} + {_NANOSECONDS_OF_A_DAY}"
    else:
        yield f"{column} < {_midnight(last, sql_type)} + INTERVAL 1 DAY"


def _midnight(day: date, sql_type: str) -> str:
    """The moment that begins a day, as the type is compared."""
    if sql_type == "TIMESTAMP_NS":
        return f"CAST({(day - _EPOCH).days * _NANOSECONDS_OF_A_DAY} AS HUGEINT)"
    return _cast(day.isoformat(), sql_type)


def _cast(value: str, sql_type: str) -> str:
    return f"CAST({literal(value)} AS {sql_type})"
