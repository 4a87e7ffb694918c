"""What of a table is asked for or agreed: rows, columns, and how far columns are shown."""

from datetime import date
from decimal import Decimal

import msgspec


class AllRows(msgspec.Struct, frozen=True, tag="all_rows"):
    """Every row."""


class RowsInPlaces(msgspec.Struct, frozen=True, tag="rows_in_places"):
    """The rows of these places, each by name or code."""

    places: tuple[str, ...]


class RowsWithValues(msgspec.Struct, frozen=True, tag="rows_with_values"):
    """The rows whose `column` holds one of `values`."""

    column: str
    values: tuple[str, ...]


class RowsInRange(msgspec.Struct, frozen=True, tag="rows_in_range"):
    """The rows whose number in `column` is at least `least` and at most `most`, both included."""

    column: str
    least: Decimal | None = None
    most: Decimal | None = None


class RowsBetweenDays(msgspec.Struct, frozen=True, tag="rows_between_days"):
    """The rows whose date or time is on a day from `first` to `last`, both included, in UTC."""

    column: str
    first: date | None = None
    last: date | None = None


RowCondition = RowsInPlaces | RowsWithValues | RowsInRange | RowsBetweenDays


class RowsMeetingAll(msgspec.Struct, frozen=True, tag="rows_meeting_all"):
    """The rows that meet all of two or more conditions."""

    conditions: tuple[RowCondition, ...]


RowScope = AllRows | RowCondition | RowsMeetingAll


class NoValue(msgspec.Struct, frozen=True, tag="null"):
    """The column is always empty."""


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """Every value is this one."""

    value: str


class PostcodeDistrict(msgspec.Struct, frozen=True, tag="district"):
    """Of a postcode its district."""


class FirstCharacters(msgspec.Struct, frozen=True, tag="first_characters"):
    """Of a text its first characters, so many."""

    count: int


class MonthOnly(msgspec.Struct, frozen=True, tag="month"):
    """Of a date or time the first moment of its month."""


class YearOnly(msgspec.Struct, frozen=True, tag="year"):
    """Of a date or time the first moment of its year."""


class AtMost(msgspec.Struct, frozen=True, tag="at_most"):
    """Larger numbers are shown as this one."""

    bound: Decimal


class AtLeast(msgspec.Struct, frozen=True, tag="at_least"):
    """Smaller numbers are shown as this one."""

    bound: Decimal


class KeyedHash(msgspec.Struct, frozen=True, tag="keyed_hash"):
    """A hash by a key of the project for that kind of identifier, so that equal values are linked.

    The kind may be left out where the contract marks it. Whose key it is, is the service's to say.
    """

    identifier: str = ""
    project: str = ""


Mask = (
    NoValue
    | Constant
    | PostcodeDistrict
    | FirstCharacters
    | MonthOnly
    | YearOnly
    | AtMost
    | AtLeast
    | KeyedHash
)


class MaskedColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far one column is shown."""

    column: str
    mask: Mask


class ScopeOfTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of one table: columns by name (`*` for all that there are today), rows, and masks."""

    table: str
    columns: tuple[str, ...] = ("*",)
    rows: RowScope = AllRows()
    masks: tuple[MaskedColumn, ...] = ()
