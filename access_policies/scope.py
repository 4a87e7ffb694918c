"""What of a table is agreed: which rows, which columns, and how far a column's values are shown.

Each union here is closed: match to the end with `assert_never`. What cannot be understood is never
taken for a wider scope.
"""

from datetime import date
from decimal import Decimal

import msgspec


class AllRows(msgspec.Struct, frozen=True, tag="all_rows"):
    """Every row of the table."""


class RowsInPlaces(msgspec.Struct, frozen=True, tag="rows_in_places"):
    """Rows whose place column names one of these places, whichever code of its history is used.

    `places` are area codes as approved; the enforcer resolves them through their recodes.
    """

    places: tuple[str, ...]


class RowsWithValues(msgspec.Struct, frozen=True, tag="rows_with_values"):
    """Rows whose `column` holds one of `values` (compared as text)."""

    column: str
    values: tuple[str, ...]


class RowsInRange(msgspec.Struct, frozen=True, tag="rows_in_range"):
    """Rows whose number in `column` is at least `least` and at most `most`, both included.

    An absent bound is none. No value, NaN and the infinities are in no range.
    """

    column: str
    least: Decimal | None = None
    most: Decimal | None = None


class RowsBetweenDays(msgspec.Struct, frozen=True, tag="rows_between_days"):
    """Rows whose `column` falls on a day from `first` to `last`, both included, in UTC.

    A time is on its day: from the midnight that begins `first` up to, and without, the one that
    ends `last`. An absent bound is none. No value and the infinities are on no day.
    """

    column: str
    first: date | None = None
    last: date | None = None


RowCondition = RowsInPlaces | RowsWithValues | RowsInRange | RowsBetweenDays


class RowsMeetingAll(msgspec.Struct, frozen=True, tag="rows_meeting_all"):
    """Rows that meet every one of these conditions, of which there are at least two."""

    conditions: tuple[RowCondition, ...]


RowScope = AllRows | RowCondition | RowsMeetingAll


class NoValue(msgspec.Struct, frozen=True, tag="null"):
    """The column is there and always empty."""


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """Every value is shown as this one; where there is none, there stays none."""

    value: str


class PostcodeDistrict(msgspec.Struct, frozen=True, tag="district"):
    """Of a postcode its district: `S1` of `S1 2HE`. What is no postcode is not shown."""


class FirstCharacters(msgspec.Struct, frozen=True, tag="first_characters"):
    """Of a text its first `count` characters."""

    count: int


class MonthOnly(msgspec.Struct, frozen=True, tag="month"):
    """Of a date or time its month, as the first moment of it."""


class YearOnly(msgspec.Struct, frozen=True, tag="year"):
    """Of a date or time its year, as the first moment of it."""


class AtMost(msgspec.Struct, frozen=True, tag="at_most"):
    """Numbers above `bound` are shown as `bound` (top-coding). NaN is not shown."""

    bound: Decimal


class AtLeast(msgspec.Struct, frozen=True, tag="at_least"):
    """Numbers below `bound` are shown as `bound` (bottom-coding). NaN is not shown."""

    bound: Decimal


class KeyedHash(msgspec.Struct, frozen=True, tag="keyed_hash", omit_defaults=True):
    """Values are shown as a keyed hash of them: equal ones can be linked within one project.

    `identifier` is the kind of identifier that the values are (`nhs_number`), and `project` whose
    key is used; both are written out in what is agreed, whatever the form said.
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


class MaskedColumn(msgspec.Struct, frozen=True):
    """How far one column's values are shown."""

    column: str
    mask: Mask


class ColumnType(msgspec.Struct, frozen=True):
    """The SQL type that a column had when something was agreed that rests on it."""

    column: str
    type: str


class TableScope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of one table is agreed: the columns by name, in the table's order, and the rows.

    A column that is not listed is not there; one that `masks` names is there as its mask shows it.
    `types` are those of the columns that rows are chosen by or that are masked.
    """

    table: str
    columns: tuple[str, ...]
    rows: RowScope
    masks: tuple[MaskedColumn, ...] = ()
    types: tuple[ColumnType, ...] = ()

    def mask(self, column: str) -> Mask | None:
        """How the column is masked, if it is."""
        return next((masked.mask for masked in self.masks if masked.column == column), None)


def conditions_of(rows: RowScope) -> tuple[RowCondition, ...]:
    """The conditions that all must hold; none where every row is agreed."""
    match rows:
        case AllRows():
            return ()
        case RowsMeetingAll(conditions=conditions):
            return conditions
        case condition:
            return (condition,)


def meeting_all(conditions: tuple[RowCondition, ...]) -> RowScope:
    """The row scope of conditions that all must hold."""
    match conditions:
        case ():
            return AllRows()
        case (condition,):
            return condition
        case _:
            return RowsMeetingAll(conditions)


def columns_chosen_by(rows: RowScope) -> tuple[str, ...]:
    """The columns by name that rows are chosen by; a place column is the contract's to name."""
    return tuple(
        dict.fromkeys(
            condition.column
            for condition in conditions_of(rows)
            if not isinstance(condition, RowsInPlaces)
        )
    )
