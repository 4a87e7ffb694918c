"""What of a table is asked for or approved, as options say it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from marketplace.client.errors import InvalidCall
from marketplace.wire import AllRows, RowsInPlaces, RowsWithValues, ScopeOfTable

Form = TypeVar("Form")

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
    where: Annotated[str | None, Parameter(group=_GROUP)] = None
    "Rows with these values of a column: COLUMN=VALUE,VALUE."
    scope: Annotated[Path | None, Parameter(group=_GROUP)] = None
    "A JSON file with a list of {table, columns, rows}, for several tables."

    def tables(self, dataset: str) -> tuple[ScopeOfTable, ...]:
        """The scope as the service takes it; empty where nothing was said."""
        if self.scope is not None:
            return read_form(self.scope, tuple[ScopeOfTable, ...])
        if not (self.table or self.column or self.place) and self.where is None:
            return ()
        name = self.table or dataset.split(".")[-1]
        return (ScopeOfTable(table=name, columns=self.column or ("*",), rows=self._rows()),)

    def _rows(self) -> AllRows | RowsInPlaces | RowsWithValues:
        if self.place and self.where:
            raise InvalidCall(
                "Rows are chosen by place or by values, not by both.",
                next_step="Leave out --place or --where.",
            )
        if self.place:
            return RowsInPlaces(self.place)
        if self.where is None:
            return AllRows()
        return _rows_where(self.where)


def rows_in_words(rows: AllRows | RowsInPlaces | RowsWithValues) -> str:
    """Which rows, for a person; values are quoted, so that an empty one is seen."""
    match rows:
        case AllRows():
            return "all rows"
        case RowsInPlaces(places=places):
            return f"rows of {', '.join(places)}"
        case RowsWithValues(column=column, values=values):
            return f"rows where {column} is " + " or ".join(f'"{value}"' for value in values)


def _rows_where(text: str) -> RowsWithValues:
    column, sign, listed = text.partition("=")
    values = tuple(value.strip() for value in listed.split(","))
    if not (sign and column.strip() and all(values)):
        raise InvalidCall(
            f"--where {text!r} does not say which values of which column.",
            next_step="Write it as --where COLUMN=VALUE or --where COLUMN=VALUE,VALUE; what holds a "
            "comma or is empty goes into a file for --scope.",
        )
    return RowsWithValues(column.strip(), values)


def read_form(path: Path, kind: type[Form]) -> Form:
    """The content of a JSON file. Raises InvalidCall where it is none, or is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidCall(
            f"{path} cannot be used: {error}.",
            next_step="Name a JSON file in the form that marketplace/sharing/README.md shows.",
        ) from None


WANTED = Wanted()
