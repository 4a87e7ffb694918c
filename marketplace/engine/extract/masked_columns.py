"""Masks in SQL. The type of a column stays, but that of a hash, which is text."""

from typing import assert_never

from access_policies import sql_types
from access_policies.scope import (
    AtLeast,
    AtMost,
    Constant,
    FirstCharacters,
    KeyedHash,
    MonthOnly,
    NoValue,
    PostcodeDistrict,
    YearOnly,
)
from marketplace.engine.extract.extract_messages import ExtractColumn
from marketplace.engine.instance import identifier, literal

_LOWER, _UPPER = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BLOCK = 64  # bytes of a block of SHA-256
_INNER, _OUTER = 0x36, 0x5C


def shown(column: ExtractColumn, sql_type: str, *, hashed_by: str) -> str:
    """The SQL of a column as it is shown.

    `hashed_by` begins the names of the two variables that hold the padded key (`padded_keys`).
    """
    name = identifier(column.name)
    match column.mask:
        case None:
            return _canonical(name, sql_type)
        case NoValue():
            return f"CAST(NULL AS {sql_type})"
        case Constant(value=value):
            return f"CASE WHEN {name} IS NOT NULL THEN CAST({literal(value)} AS {sql_type}) END"
        case PostcodeDistrict():
            return _district(_without_spaces(name))
        case FirstCharacters(count=count):
            return f"left({name}, {count:d})"
        case MonthOnly():
            return _truncated("month", name, sql_type)
        case YearOnly():
            return _truncated("year", name, sql_type)
        case AtMost(bound=bound):
            return _coded(name, ">", f"{bound:f}", sql_type)
        case AtLeast(bound=bound):
            return _coded(name, "<", f"{bound:f}", sql_type)
        case KeyedHash():
            return _hashed(_without_spaces(f"CAST({name} AS VARCHAR)"), hashed_by)
        case mask:
            assert_never(mask)


def padded_keys(key: bytes) -> tuple[bytes, bytes]:
    """What HMAC-SHA-256 puts before the inner and before the outer message (RFC 2104)."""
    padded = key.ljust(_BLOCK, b"\0")
    return bytes(byte ^ _INNER for byte in padded), bytes(byte ^ _OUTER for byte in padded)


def ties(alias: str, mask: object, sql_type: str) -> str | None:
    """What tells values apart that DuckDB sorts as equal, so that their order is not the source's."""
    if mask is not None and not sql_types.is_number(sql_type):
        return None
    if sql_types.is_float(sql_type):
        return f"signbit({alias})"
    plain = sql_types.is_compared_as_text(sql_type) or sql_types.is_moment(sql_type)
    return None if plain else f"CAST({alias} AS VARCHAR)"


def _canonical(name: str, sql_type: str) -> str:
    """NaN has many bit patterns; one stands for all, because their order would be the source's."""
    if not sql_types.is_float(sql_type):
        return name
    return f"CASE WHEN isnan({name}) THEN CAST('NaN' AS {sql_type}) ELSE {name} END"


def _without_spaces(text: str) -> str:
    """Without ASCII white space and with a to z as capitals.

    No other letters are changed: what they become differs between versions of Unicode, and a hash
    has to stay the same.
    """
    spaceless = f"regexp_replace({text}, '[\\t\\n\\v\\f\\r ]', '', 'g')"
    return f"translate({spaceless}, '{_LOWER}', '{_UPPER}')"


def _district(postcode: str) -> str:
    outward = "[A-Z]{1,2}[0-9][A-Z0-9]?"
    return (
        f"CASE WHEN regexp_full_match({postcode}, '{outward}[0-9][A-Z]{{2}}') "
        f"THEN left({postcode}, length({postcode}) - 3) "
        f"WHEN regexp_full_match({postcode}, '{outward}') THEN {postcode} END"
    )


def _truncated(unit: str, name: str, sql_type: str) -> str:
    """The first moment of the month or year; none where the type cannot hold it."""
    truncated = f"TRY(CAST(date_trunc('{unit}', {name}) AS {sql_type}))"
    return f"CASE WHEN isfinite({name}) THEN {truncated} END"


def _coded(name: str, beyond: str, bound: str, sql_type: str) -> str:
    constant = f"CAST({literal(bound)} AS {sql_type})"
    no_number = f"WHEN isnan({name}) THEN NULL " if sql_types.is_float(sql_type) else ""
    return f"CASE {no_number}WHEN {name} {beyond} {constant} THEN {constant} ELSE {name} END"


def _hashed(text: str, variables: str) -> str:
    """HMAC-SHA-256 in hexadecimal; of no value, and of an empty one, none."""
    inner, outer = (f"getvariable('{variables}_{part}')" for part in ("inner", "outer"))
    digest = f"sha256({outer} || unhex(sha256({inner} || encode({text}))))"
    return f"CASE WHEN {text} <> '' THEN {digest} END"
