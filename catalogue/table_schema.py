"""The contract of a table: its columns, their types, and what a later release may not change."""

from enum import StrEnum

import msgspec


class Sensitivity(StrEnum):
    """How a column bears on people, as its publisher classified it."""

    NONE = "none"
    PERSONAL = "personal"
    SPECIAL_CATEGORY = "special_category"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column. `type` is a SQL type as DuckDB prints it (`BIGINT`, `DECIMAL(18,2)`, `VARCHAR`).

    `title` is the heading in the publisher's file where it differs from the name. `place` marks
    the column that holds area codes (GSS). `missing_markers` are the texts that the publisher
    writes for "no value" ("-", "..") and that were read as null. `identifier` is the kind of
    identifier that its values are (`nhs_number`), which keyed hashes are linked by.
    """

    name: str
    type: str
    title: str = ""
    description: str = ""
    place: bool = False
    sensitivity: Sensitivity = Sensitivity.NONE
    missing_markers: tuple[str, ...] = ()
    identifier: str = ""


class TableSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a table in order; names are unique SQL identifiers in lower case.

    `sort` names the columns that rows are sorted by as they are published, ascending, those without
    a value last; without any they keep the order of the publisher's file.
    """

    columns: tuple[Column, ...]
    sort: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def place_column(self) -> Column | None:
        """The column that rows can be scoped by place with, if the contract marks one."""
        return next((column for column in self.columns if column.place), None)


def breaches(contract: TableSchema, offered: TableSchema) -> tuple[str, ...]:
    """Say in what ways a file does not keep the contract; added columns do not break it.

    Returns one sentence per breach: a column that is gone, or whose type is another.
    """
    found = {column.name: column for column in offered.columns}
    sentences: list[str] = []
    for column in contract.columns:
        match = found.get(column.name)
        if match is None:
            sentences.append(f'The column "{column.name}" ({column.type}) is missing.')
        elif match.type != column.type:
            sentences.append(
                f'The column "{column.name}" is {match.type}; the contract says {column.type}.'
            )
    return tuple(sentences)
