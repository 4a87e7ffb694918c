"""What a column of texts is: the forms of numbers, dates and missing values, and how to read them.

Every form is a regular expression that DuckDB matches in full, narrower than DuckDB's own casts:
those read '1.5' as the whole number 2, drop a time zone, and take '0x1F' for 31. A value that
matches a form converts without loss; all else is text. British dates (day first) are read, American
ones never guessed. Codes with a leading zero are text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from marketplace.engine.ingest.ingest_job import DateOrder
from marketplace.engine.instance import literal

# What publishers write for "no value", in lower case and without space around it.
MISSING_MARKERS = (
    *("-", "--", "\u2013", "\u2014", ".", "..", "...", ":", "*", "~"),
    *("n/a", "na", "#n/a", "null", "none", "nan", "not available", "not applicable"),
    *("[c]", "[k]", "[low]", "[u]", "[w]", "[x]", "[z]"),
)
AREA_CODE = "[EWSNK][0-9]{8}"
TEXT = "VARCHAR"
_MOST_SCALE = 4
_LONGEST_VALUE = 80  # bytes; what is longer is text, and not worth a copy of it to find out
_ANY = "(?s).*"

# A whole number beside decimals, one that fits BIGINT only, and the most that any type holds.
_WHOLE = "(0|[1-9][0-9]{0,13})"
_LONG = "[1-9][0-9]{14,17}"
_LONGEST = "(0|[1-9][0-9]{0,38})"
_EXACT_IN_DOUBLE = "(0|[1-9][0-9]{0,14})"
_GROUPED = "([1-9][0-9]{0,2}(,[0-9]{3}){1,4})"
_FRACTION = "[.][0-9]{1,%d}"
_MONTHS = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_ISO_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_SLASHED = "|".join(f"[0-9]{{1,2}}{mark}[0-9]{{1,2}}{mark}[0-9]{{4}}" for mark in ("/", "[.]", "-"))
_NAMED_MONTH = f"[0-9]{{1,2}}[- ]{_MONTHS}[- ][0-9]{{4}}"
_NAMED_MONTH_SHORT_YEAR = f"[0-9]{{1,2}}[- ]{_MONTHS}[- ][0-9]{{2}}"
_CLOCK = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
_ISO_TIME = f"{_ISO_DATE}[T ]{_CLOCK}"
_SLASHED_TIME = f"[0-9]{{2}}([/.-])[0-9]{{2}}[/.-][0-9]{{4}} {_CLOCK}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """How a file writes what can be written in more than one way.

    `grouped` says whether a comma may group thousands: not in files cut by semicolons, where it
    may as well be a decimal comma.
    """

    date_order: DateOrder = DateOrder.DAY_FIRST
    grouped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How texts become values of one type: the form to match, and SQL with `{x}` for the text.

    `canonical` is a quick test that is true for texts exactly as DuckDB writes the value; these
    need no form. It must never hold for another text.
    """

    type: str
    form: str
    value: str
    canonical: str = "false"


def reading_for(type_name: str, conventions: Conventions) -> Reading:
    """How to read texts as a SQL type; of a type without forms of its own, what DuckDB writes."""
    if type_name == TEXT:
        return Reading(type=TEXT, form=_ANY, value="{x}")
    if type_name == "BOOLEAN":
        return Reading(
            type=type_name,
            form=_spaced("(?i)true|false"),
            value=_cast(type_name),
            canonical="{x} IN ('true', 'false')",
        )
    if type_name in _INTEGERS:
        form = _spaced(_number(_LONGEST, "", conventions))
        return _exact(type_name, form, _number_value(type_name))
    if type_name in ("DOUBLE", "FLOAT"):
        return Reading(
            type=type_name, form=_spaced(_real(conventions)), value=_number_value(type_name)
        )
    if type_name.startswith("DECIMAL("):
        return _decimal(type_name, conventions)
    if type_name == "DATE":
        dates = "|".join((_ISO_DATE, _SLASHED, _NAMED_MONTH, _NAMED_MONTH_SHORT_YEAR))
        # The length keeps out what is a date to DuckDB but not in a table: infinity, years of five digits.
        return _exact(type_name, _spaced(dates), _date(conventions), " AND strlen({x}) = 10")
    if type_name == "TIMESTAMP":
        times = f"{_ISO_TIME}|{_ISO_DATE}|{_SLASHED_TIME}"
        return Reading(type=type_name, form=_spaced(times), value=_time(conventions))
    as_written = f"CASE WHEN {_cast(type_name)}::VARCHAR = {{x}} THEN {_cast(type_name)} END"
    return Reading(type=type_name, form=_ANY, value=as_written)


def expectation(type_name: str) -> str:
    """What a value of the type is, for a sentence: 'is not ...'."""
    if type_name in _INTEGERS:
        return "a whole number"
    if type_name.startswith("DECIMAL("):
        precision, scale = type_name[8:-1].split(",")
        return f"a number with at most {scale} decimals and {precision} digits"
    sentences = {
        "DOUBLE": "a number",
        "FLOAT": "a number",
        "BOOLEAN": "true or false",
        "DATE": "a date (yyyy-mm-dd, dd/mm/yyyy or dd-Mon-yyyy)",
        "TIMESTAMP": "a date and time (yyyy-mm-dd hh:mm:ss)",
    }
    return sentences.get(type_name, f"a value of the type {type_name}")


_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
    | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)


def _spaced(form: str) -> str:
    return f" *({form}) *"


def _number(whole: str, rest: str, conventions: Conventions) -> str:
    """A number with its sign, a pound sign and brackets for negatives where commas may group."""
    if not conventions.grouped:
        return f"-?{whole}{rest}"
    plain = f"({whole}|{_GROUPED}){rest}"
    return f"-?£?{plain}|£-{plain}|[(]£?{plain}[)]"


def _number_value(type_name: str) -> str:
    cast = _cast(type_name)
    return f"coalesce({cast}, {cast.replace('{x}', _UNDECORATED)})"


_UNDECORATED = "translate({x}, '(£,) ', '-')"


def _cast(type_name: str) -> str:
    return f"try_cast({{x}} AS {type_name})"


def _decimal(type_name: str, conventions: Conventions) -> Reading:
    scale = int(type_name[8:-1].split(",")[1])
    rest = f"({_FRACTION % scale})?" if scale else ""
    form = _number(_LONGEST, rest, conventions)
    return _exact(type_name, _spaced(form), _number_value(type_name))


def _exact(type_name: str, form: str, value: str, bound: str = "") -> Reading:
    canonical = f"{_cast(type_name)}::VARCHAR = {{x}}{bound}"
    return Reading(type=type_name, form=form, value=value, canonical=canonical)


def _real(conventions: Conventions) -> str:
    fraction = "([.][0-9]{1,40})?"
    scientific = "-?[0-9]([.][0-9]{1,40})?[eE][-+][0-9]{1,3}|-?[0-9][.][0-9]{1,40}[eE][0-9]{1,3}"
    return f"{_number(_EXACT_IN_DOUBLE, fraction, conventions)}|-?[.][0-9]{{1,40}}|{scientific}"


# A date or time of numbers with slashes between them, whatever marks the publisher uses.
_WITH_SLASHES = "translate(trim({x}), '.-', '//')"


def _order(conventions: Conventions) -> str:
    return "%m/%d/%Y" if conventions.date_order is DateOrder.MONTH_FIRST else "%d/%m/%Y"


def _date(conventions: Conventions) -> str:
    with_dashes = "replace(trim({x}), ' ', '-')"
    return (
        f"CASE WHEN regexp_full_match({{x}}, ' *{_ISO_DATE} *') THEN try_cast({{x}} AS DATE) "
        f"WHEN regexp_full_match({{x}}, ' *({_SLASHED}) *') "
        f"THEN try_strptime({_WITH_SLASHES}, '{_order(conventions)}')::DATE "
        f"WHEN regexp_full_match({{x}}, ' *{_NAMED_MONTH} *') "
        f"THEN try_strptime({with_dashes}, '%d-%b-%Y')::DATE "
        f"ELSE try_strptime({with_dashes}, '%d-%b-%y')::DATE END"
    )


def _time(conventions: Conventions) -> str:
    date = f"try_strptime(translate(left(trim({{x}}), 10), '.-', '//'), '{_order(conventions)}')"
    clock = "try_cast(substr(trim({x}), 12) AS TIME)"
    return (
        f"CASE WHEN regexp_full_match({{x}}, ' *{_ISO_DATE}.*') THEN try_cast({{x}} AS TIMESTAMP) "
        f"ELSE {date}::DATE + {clock} END"
    )


# The kinds of single values, as `kind_of` names them: n0, n1 ... are numbers with so many decimals,
# nlong has too many digits for decimals beside it, nreal is any other number; = and the text is a
# missing marker; either, dmy and mdy are dates with slashes; a is an area code, t any other text.
_DATES = frozenset({"iso", "either", "dmy", "mdy", "mon", "mony", "time", "dmytime"})
_AREA = "a"
_NO_NUMBER_OR_DATE = "^[a-zA-Z]|^[^0-9]*$"
_MARKER = "="


def kind_of(x: str, conventions: Conventions) -> str:
    """SQL that names the kind of the text `x`; each text is of exactly one kind."""

    def matches(form: str) -> str:
        return f"regexp_full_match({x}, {literal(_spaced(form))})"

    def readable(type_name: str) -> str:
        return f"({reading_for(type_name, conventions).value.replace('{x}', x)}) IS NOT NULL"

    decimals = f"length(regexp_extract({x}, '[.]([0-9]+)', 1))"
    markers = ", ".join(literal(marker) for marker in ("", *MISSING_MARKERS))
    return f"""CASE
        WHEN strlen({x}) > {_LONGEST_VALUE} THEN 't'
        WHEN {matches(f"-?{_WHOLE}")} THEN 'n0'
        WHEN lower(trim({x})) IN ({markers}) THEN '{_MARKER}' || trim({x})
        WHEN regexp_full_match({x}, '{AREA_CODE}') THEN '{_AREA}'
        WHEN regexp_matches({x}, '{_NO_NUMBER_OR_DATE}') THEN
            CASE WHEN {matches("(?i)true|false")} THEN 'b' ELSE 't' END
        WHEN {matches(_number(_WHOLE, f"({_FRACTION % _MOST_SCALE})?", conventions))} THEN 'n' || {decimals}
        WHEN {matches(_number(_LONG, "", conventions))} THEN 'nlong'
        WHEN {matches(_real(conventions))} THEN 'nreal'
        WHEN {matches(_ISO_DATE)} AND {readable("DATE")} THEN 'iso'
        WHEN {matches(_SLASHED)} THEN {_slashed_kind(x)}
        WHEN {matches(_NAMED_MONTH)} AND {readable("DATE")} THEN 'mon'
        WHEN {matches(_NAMED_MONTH_SHORT_YEAR)} AND {readable("DATE")} THEN 'mony'
        WHEN {matches(_ISO_TIME)} AND {readable("TIMESTAMP")} THEN 'time'
        WHEN {matches(_SLASHED_TIME)} AND {readable("TIMESTAMP")} THEN 'dmytime'
        ELSE 't' END"""


def _slashed_kind(x: str) -> str:
    day_first, month_first = (
        f"try_strptime({_WITH_SLASHES.replace('{x}', x)}, '{order}') IS NOT NULL"
        for order in ("%d/%m/%Y", "%m/%d/%Y")
    )
    return (
        f"CASE WHEN {day_first} AND {month_first} THEN 'either' WHEN {day_first} THEN 'dmy' "
        f"WHEN {month_first} THEN 'mdy' ELSE 't' END"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """The type of a column, and what there is to say about the choice."""

    type: str
    note: str = ""


def infer(kinds: Mapping[str, int], conventions: Conventions) -> Inferred:
    """Decide a column's type from how many of its values are of which kind.

    Whatever makes a column text keeps it text when more values are seen.

    >>> infer({"n0": 3, "n2": 1, "=..": 2}, Conventions())
    Inferred(type='DECIMAL(18,2)', note='')
    """
    present = {kind for kind in kinds if not kind.startswith(_MARKER)}
    if not present:
        return Inferred(type=TEXT)
    if present == {"b"} and len(kinds) == 1:
        return Inferred(type="BOOLEAN")
    if all(kind.startswith("n") for kind in present):
        return _number_type(present)
    if present <= _DATES:
        return _date_type(present, conventions)
    return Inferred(type=TEXT, note=_nearly(kinds))


def markers_in(kinds: Mapping[str, int]) -> dict[str, int]:
    """The missing markers among the kinds, as they are written, with their counts."""
    return {kind[1:]: count for kind, count in kinds.items() if kind.startswith(_MARKER)}


def may_be_area_codes(kinds: Mapping[str, int]) -> bool:
    """Whether at least half of the values are area codes."""
    return 2 * kinds.get(_AREA, 0) >= sum(kinds.values()) > 0


def _number_type(present: set[str]) -> Inferred:
    scale = max((int(kind[1:]) for kind in present if kind not in ("nlong", "nreal")), default=0)
    if not scale and "nreal" not in present:
        return Inferred(type="BIGINT")
    if "nlong" in present:
        return Inferred(
            type=TEXT, note="kept as text: it has whole numbers too long to stand beside decimals"
        )
    return Inferred(type="DOUBLE" if "nreal" in present else f"DECIMAL(18,{max(2, scale)})")


def _date_type(present: set[str], conventions: Conventions) -> Inferred:
    month_first = conventions.date_order is DateOrder.MONTH_FIRST
    order = "month" if month_first else "day"
    if present in ({"iso"}, {"mon"}):
        return Inferred(type="DATE")
    if present == {"mony"}:
        return Inferred(type="DATE", note="its two-digit years were read as 1969 to 2068")
    if present <= {"either", "mdy" if month_first else "dmy"}:
        return Inferred(type="DATE", note=f"its dates with slashes were read {order} first")
    if present <= {"time", "iso"}:
        return Inferred(type="TIMESTAMP")
    if present == {"dmytime"}:
        return Inferred(type="TIMESTAMP", note=f"its dates with slashes were read {order} first")
    if present <= {"either", "mdy"}:
        return Inferred(
            type=TEXT,
            note="kept as text: as dates its values would have the month first; set date_order "
            "to mdy if that is meant",
        )
    return Inferred(type=TEXT, note="kept as text: its dates are written in more than one way")


def _nearly(kinds: Mapping[str, int]) -> str:
    """A word on a column that would not be text but for a few values."""
    texts = sum(kinds.get(kind, 0) for kind in ("t", "b", _AREA))
    values = sum(kinds.values())
    if 0 < texts <= values // 20:
        return f"kept as text: {texts:,} of {values:,} values seen are neither numbers nor dates"
    return ""
