"""A decision is a value that can explain itself and says what it obliges its enforcer to do."""

from datetime import datetime
from enum import StrEnum

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


RowScope = AllRows | RowsInPlaces | RowsWithValues


class TableScope(msgspec.Struct, frozen=True):
    """What of one table is agreed: the columns by name, in the table's order, and the rows."""

    table: str
    columns: tuple[str, ...]
    rows: RowScope


class RestrictTo(msgspec.Struct, frozen=True, tag="restrict_to"):
    """Serve these tables, columns and rows and nothing else."""

    tables: tuple[TableScope, ...]


class OutputTier(StrEnum):
    """How far results may go: as rows, as checked aggregates, or after a person's review."""

    ROWS = "rows"
    AGGREGATE = "aggregate"
    REVIEWED = "reviewed"


class LimitOutput(msgspec.Struct, frozen=True, tag="limit_output"):
    """Results may leave only under this output tier."""

    tier: OutputTier


Obligation = RestrictTo | LimitOutput
"""Closed: match to the end with `assert_never`. One that cannot be discharged means deny."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request.

    `rule` is the identifier of the determining rule and `grant` what it came from (an agreement, a
    standing offer, a role); both are empty when nothing allowed. `reason` is a sentence for the
    person who asked, without anything they may not know. `until` is the first moment (UTC) at which
    the same question could be answered differently by time alone.
    """

    allowed: bool
    reason: str
    rule: str = ""
    grant: str = ""
    obligations: tuple[Obligation, ...] = ()
    until: datetime | None = None
