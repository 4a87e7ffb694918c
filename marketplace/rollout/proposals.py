"""Proposals to move a scope, and how each ended."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select

from access_policies.stages import Reach, Waves
from access_policies.vocabulary import Audience
from marketplace.errors import UnknownRecord
from marketplace.rollout.effect import Foreseen
from marketplace.rollout.records import outcomes, proposals


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """How a scope is to be open.

    With `by_invitation`, to the audience `stage` by invitation only: so many `places` are added, of
    which the names in `invited` take theirs at once. It holds from `begins` (UTC, whole seconds), or
    at once.
    """

    scope: str
    stage: Audience
    by_invitation: bool = False
    places: int = 0
    invited: tuple[str, ...] = ()
    begins: datetime | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a proposal ended: made by a second person, or withdrawn."""

    made: bool
    by: str
    by_name: str
    at: datetime
    reason: str
    revision: int | None = None


class State(StrEnum):
    """Where a proposal stands."""

    OPEN = "open"
    MADE = "made"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A move that somebody proposed, with what it was foreseen to do then; see `records`.

    `id` is also the wave that its places and invitations belong to.
    """

    id: str
    scope: str
    reach: Reach
    begins: datetime | None
    places: int
    invited: tuple[str, ...]
    undoes: int | None = None
    reason: str
    override: str
    effect: Foreseen
    revision: int
    base: int
    proposed_by: str
    proposed_by_name: str
    proposed_at: datetime
    expires_at: datetime
    outcome: Outcome | None = None

    @property
    def revision_made(self) -> int | None:
        """The revision of the move, where it was made."""
        return self.outcome.revision if self.outcome is not None else None

    def state(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if self.outcome is not None:
            return State.MADE if self.outcome.made else State.WITHDRAWN
        return State.OPEN if now < self.expires_at else State.EXPIRED


def enter(connection: Connection, proposal: Proposal) -> None:
    """Keep a proposal."""
    row = msgspec.structs.asdict(proposal)
    del row["outcome"], row["reach"]
    waves = proposal.reach.waves
    row["stage"] = int(proposal.reach.stage)
    row["waves"] = None if waves is None else msgspec.json.encode(waves).decode()
    row["invited"] = msgspec.json.encode(proposal.invited).decode()
    row["effect"] = msgspec.json.encode(proposal.effect).decode()
    connection.execute(insert(proposals).values(row))


def end(connection: Connection, identifier: str, outcome: Outcome) -> None:
    """Keep how a proposal ended; the database refuses a second end."""
    row = msgspec.structs.asdict(outcome) | {"proposal": identifier}
    connection.execute(insert(outcomes).values(row))


def read(connection: Connection, identifier: str) -> Proposal:
    """One proposal. Raises UnknownRecord."""
    found = _found(connection, [identifier]) if identifier.isalnum() else ()
    if not found:
        raise UnknownRecord(
            f"There is no proposal {identifier[:32]!r}.",
            next_step="List them with: marketplace rollout history.",
        )
    return found[0]


def list_all(connection: Connection) -> tuple[Proposal, ...]:
    """Every proposal, newest first."""
    return _found(connection, None)


def places_of(connection: Connection, waves: Collection[str]) -> dict[str, int]:
    """How many places each of the waves has."""
    query = select(proposals.c.id, proposals.c.places).where(proposals.c.id.in_(waves))
    return {row.id: row.places for row in connection.execute(query)}


def _found(connection: Connection, identifiers: Collection[str] | None) -> tuple[Proposal, ...]:
    query = (
        select(proposals, *(column.label(f"outcome_{column.name}") for column in outcomes.c))
        .outerjoin(outcomes, outcomes.c.proposal == proposals.c.id)
        .order_by(proposals.c.proposed_at.desc(), proposals.c.revision.desc(), proposals.c.id)
    )
    if identifiers is not None:
        query = query.where(proposals.c.id.in_(identifiers))
    return tuple(_proposal(row) for row in connection.execute(query).mappings())


def _proposal(row: RowMapping) -> Proposal:
    outcome = None
    if row["outcome_proposal"] is not None:
        outcome = Outcome(**{name: row[f"outcome_{name}"] for name in Outcome.__struct_fields__})
    waves = None if row["waves"] is None else msgspec.json.decode(row["waves"], type=Waves)
    values: dict[str, Any] = dict(row) | {
        "reach": Reach(Audience(row["stage"]), waves),
        "invited": msgspec.json.decode(row["invited"], type=tuple[str, ...]),
        "effect": msgspec.json.decode(row["effect"], type=Foreseen),
        "outcome": outcome,
    }
    return Proposal(**{name: values[name] for name in Proposal.__struct_fields__})
