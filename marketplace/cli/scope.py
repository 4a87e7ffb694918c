"""What of a table is asked for or approved, as options say it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from marketplace.client.errors import InvalidCall
from marketplace.wire import (
    AtLeast,
    AtMost,
    Constant,
    FirstCharacters,
    KeyedHash,
    Mask,
    MaskedColumn,
    MonthOnly,
    NoValue,
    PostcodeDistrict,
    RowCondition,
    RowsBetweenDays,
    RowScope,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    RowsWithValues,
    ScopeOfTable,
    YearOnly,
)

Form = TypeVar("Form")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_GROUP = "What of it (everything unless said)"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One table's columns and rows; several tables come from a file."""

    table: Annotated[str | None, Parameter(group=_GROUP)] = None
    "The table; the dataset's own name unless said."
    column: Annotated[tuple[str, ...], Parameter(group=_GROUP, negative=())] = ()
    "A column by name; may be given several times."
    place: Annotated[tuple[str, ...], Parameter(group=_GROUP, negative=())] = ()
    "Rows of this place, by name or area code; may be given several times."
    rows: Annotated[
        tuple[str, ...], Parameter(name=("--rows", "--where"), group=_GROUP, negative=())
    ] = ()
    """Rows by a column: "area=Leeds,York", "rent<=1200", "placed_on>=2024-04-01"; may be given
    several times, and then all of it holds. Bounds are included; days are in UTC."""
    mask: Annotated[tuple[str, ...], Parameter(group=_GROUP, negative=())] = ()
    """How far a column is shown: "nino=hash:nino", "postcode=district", "born=year" or month,
    "name=first:1", "income=top:100000", "income=bottom:5000", "note=constant:withheld",
    "note=null"; may be given several times."""
    scope: Annotated[Path | None, Parameter(group=_GROUP)] = None
    "A JSON file with a list of {table, columns, rows, masks}, for several tables."

    def tables(
        self, dataset: str, asked: tuple[ScopeOfTable, ...] = ()
    ) -> tuple[ScopeOfTable, ...]:
        """The scope as the service takes it; empty where nothing was said.

        Where it narrows what was `asked`, rows and masks that are not said are those asked for.
        """
        if self.scope is not None:
            return read_form(self.scope, tuple[ScopeOfTable, ...])
        if not (self.table or self.column or self.place or self.rows or self.mask):
            return ()
        name = self.table or dataset.split(".")[-1]
        before = next((one for one in asked if one.table == name), ScopeOfTable(table=name))
        columns = self.column or ("*",)
        return (
            ScopeOfTable(
                table=name,
                columns=columns,
                rows=self._rows() if self.place or self.rows else before.rows,
                masks=_together(before, columns, tuple(map(_mask, self.mask))),
            ),
        )

    def _rows(self) -> RowScope:
        by_place = (RowsInPlaces(self.place),) if self.place else ()
        conditions = (*by_place, *_merged([_condition(text) for text in self.rows]))
        return conditions[0] if len(conditions) == 1 else RowsMeetingAll(conditions)


def read_form(path: Path, kind: type[Form]) -> Form:
    """The content of a JSON file. Raises InvalidCall where it is none, or is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidCall(
            f"{path} cannot be used: {error}.",
            next_step="Name a JSON file in the form that marketplace/sharing/README.md shows.",
        ) from None


def _together(
    before: ScopeOfTable, columns: tuple[str, ...], said: tuple[MaskedColumn, ...]
) -> tuple[MaskedColumn, ...]:
    """The masks asked for, but of columns that are left out or that another mask is said for."""
    named = {one.column for one in said}
    kept = (one for one in before.masks if "*" in columns or one.column in columns)
    return (*(one for one in kept if one.column not in named), *said)


def _condition(text: str) -> RowCondition:
    """`column=value,value`, `column>=bound` or `column<=bound`; a bound is a number or a day."""
    column, sign, value = _split(text)
    if not (column and value):
        raise _unclear_rows(text)
    if sign == "=":
        values = tuple(one.strip() for one in value.split(","))
        if not all(values):
            raise _unclear_rows(text)
        return RowsWithValues(column, values)
    bound = _bound(value)
    if bound is None:
        raise _unclear_rows(text)
    least = sign == ">="
    match bound:
        case date():
            return RowsBetweenDays(column, **{"first" if least else "last": bound})
        case Decimal():
            return RowsInRange(column, **{"least" if least else "most": bound})


def _split(text: str) -> tuple[str, str, str]:
    """The column, the sign that comes first, and what follows it."""
    for at, character in enumerate(text):
        for sign in (">=", "<=", "="):
            if text.startswith(sign, at):
                return text[:at].strip(), sign, text[at + len(sign) :].strip()
        if character in "<>":
            break
    raise _unclear_rows(text)


def _bound(text: str) -> date | Decimal | None:
    """A day where it is written as one, with hyphens; else a number, if it is one."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else Decimal(text)
    except (ValueError, InvalidOperation):
        return None


def _merged(conditions: list[RowCondition]) -> tuple[RowCondition, ...]:
    """A lower and an upper bound of one column become one condition."""
    merged: list[RowCondition] = []
    for condition in conditions:
        for at, before in enumerate(merged):
            joined = _joined(before, condition)
            if joined is not None:
                merged[at] = joined
                break
        else:
            merged.append(condition)
    return tuple(merged)


def _joined(one: RowCondition, other: RowCondition) -> RowCondition | None:
    match one, other:
        case RowsInRange(), RowsInRange() if one.column == other.column:
            if (one.least is None) is not (other.least is None):
                return RowsInRange(
                    one.column,
                    other.least if one.least is None else one.least,
                    other.most if one.most is None else one.most,
                )
        case RowsBetweenDays(), RowsBetweenDays() if one.column == other.column:
            if (one.first is None) is not (other.first is None):
                return RowsBetweenDays(
                    one.column,
                    other.first if one.first is None else one.first,
                    other.last if one.last is None else one.last,
                )
    return None


_MASKS: dict[str, Callable[[], Mask]] = {
    "null": NoValue,
    "district": PostcodeDistrict,
    "month": MonthOnly,
    "year": YearOnly,
    "hash": KeyedHash,
}
_MASKS_WITH: dict[str, Callable[[str], Mask]] = {
    "hash": lambda kind: KeyedHash(identifier=kind),
    "constant": Constant,
    "first": lambda count: FirstCharacters(int(count)),
    "top": lambda bound: AtMost(Decimal(bound)),
    "bottom": lambda bound: AtLeast(Decimal(bound)),
}


def _mask(text: str) -> MaskedColumn:
    """`column=word` or `column=word:more`."""
    column, _, written = text.partition("=")
    word, colon, more = written.strip().partition(":")
    try:
        mask = _MASKS_WITH[word](more) if colon else _MASKS[word]()
    except (KeyError, ValueError, InvalidOperation):
        raise _unclear_mask(text) from None
    if not column.strip():
        raise _unclear_mask(text)
    return MaskedColumn(column.strip(), mask)


def _unclear_rows(text: str) -> InvalidCall:
    return InvalidCall(
        f"--rows {text!r} does not say which rows.",
        next_step="Write COLUMN=VALUE,VALUE or COLUMN>=BOUND or COLUMN<=BOUND, a bound being a "
        "number or a day (YYYY-MM-DD); what holds a comma or is empty goes into a file for --scope.",
    )


def _unclear_mask(text: str) -> InvalidCall:
    words = ", ".join((*_MASKS, *(f"{word}:..." for word in _MASKS_WITH)))
    return InvalidCall(
        f"--mask {text!r} does not say how which column is shown.",
        next_step=f"Write COLUMN=MASK, a mask being one of {words}.",
    )


WANTED = Wanted()
