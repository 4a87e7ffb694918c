"""Where the rollout stands: stages, cohorts, scheduled moves, criteria, what waits for a second person."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import stages
from access_policies.stages import MARKETPLACE, Move, Reach
from access_policies.vocabulary import Audience
from marketplace.rollout import criteria, proposals
from marketplace.rollout.criteria import Finding, Threshold
from marketplace.rollout.proposals import Proposal, State


class Wave(msgspec.Struct, frozen=True, kw_only=True):
    """So many places in a stage, and who has taken one by name."""

    id: str
    places: int
    invited: tuple[str, ...]

    @property
    def free(self) -> int:
        """How many places are left."""
        return max(0, self.places - len(self.invited))


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one scope is open, its waves in force, and the scheduled moves that will hold."""

    scope: str
    reach: Reach
    waves: tuple[Wave, ...]
    scheduled: tuple[Move, ...]


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """The marketplace first, then each dataset that has a stage of its own.

    `criteria` are those for leaving the marketplace's stage, `waiting` the open proposals.
    """

    standings: tuple[Standing, ...]
    criteria: tuple[Finding, ...]
    waiting: tuple[Proposal, ...]


def situation_of(
    connection: Connection, thresholds: tuple[Threshold, ...], *, now: datetime
) -> Situation:
    """The situation at a moment."""
    moves = stages.history(connection)
    scopes = [MARKETPLACE, *sorted({move.scope for move in moves} - {MARKETPLACE})]
    standings = tuple(_standing(connection, scope, moves, now) for scope in scopes)
    leaving: Audience = standings[0].reach.stage
    return Situation(
        standings=standings,
        criteria=criteria.evaluate(connection, thresholds, (leaving,), now=now),
        waiting=tuple(
            one for one in proposals.list_all(connection) if one.state(now) is State.OPEN
        ),
    )


def waves_of(connection: Connection, reach: Reach) -> tuple[Wave, ...]:
    """The waves that a scope is open with, the first one first."""
    places = proposals.places_of(connection, reach.waves or ())
    return tuple(
        Wave(id=wave, places=places.get(wave, 0), invited=stages.invited(connection, wave))
        for wave in reach.waves or ()
    )


def _standing(
    connection: Connection, scope: str, moves: tuple[Move, ...], now: datetime
) -> Standing:
    own = tuple(move for move in moves if move.scope == scope)
    reach = stages.reach_of(scope, stages.holding(own, now))
    return Standing(
        scope=scope,
        reach=reach,
        waves=waves_of(connection, reach),
        scheduled=stages.to_come(own, now),
    )
