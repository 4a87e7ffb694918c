"""A decision is a value that can explain itself and says what it obliges its enforcer to do."""

from datetime import datetime
from enum import StrEnum

import msgspec

from access_policies.scope import TableScope


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


class LimitResult(msgspec.Struct, frozen=True, tag="limit_result"):
    """One result may have so many rows and bytes; an absent limit is none."""

    rows: int | None = None
    bytes: int | None = None


Obligation = RestrictTo | LimitOutput | LimitResult
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
