"""A move worked out: from how a scope is open to how it will be, what that does, what speaks against it."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from access_policies import principals, revision, stages
from access_policies.decision_point import DecisionPoint
from access_policies.stages import MARKETPLACE, Move, Opening, Reach
from access_policies.vocabulary import Audience
from catalogue import datasets
from catalogue.address import DatasetAddress
from marketplace import enforcement
from marketplace.errors import InvalidMove
from marketplace.identity import organisations, projects
from marketplace.identity.organisations import Organisation
from marketplace.identity.projects import Project
from marketplace.rollout import criteria, parties
from marketplace.rollout.criteria import Finding, Threshold
from marketplace.rollout.effect import Effect, foresee
from marketplace.rollout.proposals import Target
from marketplace.rollout.words import AUDIENCES

MOST_PLACES = 10_000
FURTHEST = timedelta(days=2 * 365)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to hold for a scope, from a moment or (None) at once.

    `wave` is the wave that the move adds, and `invited` whom it invites at once.
    """

    scope: str
    reach: Reach
    begins: datetime | None = None
    wave: str
    invited: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a change comes to, as foreseen under one policy revision.

    `base` is the revision of the scope's newest move (0: none). `findings` are the exit criteria of
    the stages that are left; `replaced` are scheduled moves that will not hold any more.
    """

    change: Change
    before: Reach
    effect: Effect
    findings: tuple[Finding, ...]
    replaced: tuple[Move, ...]
    base: int
    revision: int

    @property
    def opens(self) -> bool:
        """Whether it could admit anybody who would not be admitted without it."""
        return self.change.reach.opens_beyond(self.before) or any(
            self.change.reach.opens_beyond(move.reach) for move in self.replaced
        )

    @property
    def unmet(self) -> tuple[str, ...]:
        """What speaks against it, in sentences."""
        return tuple(finding.sentence for finding in self.findings if not finding.met)


def check_scope(scope: str) -> None:
    """Raise InvalidAddress for what is neither the whole marketplace nor the address of a dataset."""
    if scope != MARKETPLACE:
        DatasetAddress.parse(scope)


def resolve(connection: Connection, target: Target, wave: str, *, now: datetime) -> Change:
    """What a target comes to as the scope stands. Raises InvalidMove with a line per finding."""
    moves = stages.history(connection, target.scope)
    before = stages.reach_of(target.scope, stages.holding(moves, target.begins or now))
    reach = Reach(target.stage)
    if target.by_invitation:
        held = before.waves if before.stage is target.stage and before.waves is not None else ()
        reach = Reach(target.stage, (*held, wave))
    faults = [*_faults_of(connection, target, now), *_faults_of_names(connection, target)]
    if reach == before and not stages.to_come(moves, now):
        faults.append("It is open so already.")
    if faults:
        raise InvalidMove(
            "The rollout cannot be moved so.", next_step="Put right what is listed.", lines=faults
        )
    return Change(
        scope=target.scope, reach=reach, begins=target.begins, wave=wave, invited=target.invited
    )


def plan(
    connection: Connection,
    decision_point: DecisionPoint,
    thresholds: tuple[Threshold, ...],
    change: Change,
    *,
    now: datetime,
) -> Plan:
    """Work out what a change does from the moment that it begins at."""
    moment = change.begins or now
    moves = stages.history(connection, change.scope)
    opened = stages.every_opening(connection, now=moment)
    before = stages.reach_of(change.scope, stages.holding(moves, moment))
    opened.setdefault(change.scope, Opening(stage=before.stage))
    after = opened | {change.scope: _opening(connection, change)}
    handled = enforcement.handled(connection)
    effect = foresee(
        connection,
        decision_point,
        parties.list_all(connection, now=moment),
        _as_handled(opened, handled),
        _as_handled(after, handled),
        scope=change.scope,
        datasets=datasets.names(connection),
        now=moment,
    )
    left = _stages_left(change, before)
    return Plan(
        change=change,
        before=before,
        effect=effect,
        findings=criteria.evaluate(connection, thresholds, left, now=now) if left else (),
        replaced=tuple(
            move for move in stages.to_come(moves, now) if move.begins >= moment.timestamp()
        ),
        base=max((move.since_revision for move in moves), default=0),
        revision=revision.read(connection),
    )


def _opening(connection: Connection, change: Change) -> Opening:
    if change.reach.waves is None:
        return Opening(stage=change.reach.stage)
    invited = set(change.invited)
    for wave in change.reach.waves:
        invited.update(stages.invited(connection, wave))
    return Opening(stage=change.reach.stage, invited=frozenset(invited))


def _as_handled(
    opened: Mapping[str, Opening], handled: Mapping[str, Audience]
) -> Mapping[str, Opening]:
    """The openings, with those of datasets whose handling closes them further."""
    closed = {
        dataset: Opening(stage=ceiling)
        for dataset, ceiling in handled.items()
        if dataset not in opened or opened[dataset].stage > ceiling
    }
    return {**opened, **closed}


def _stages_left(change: Change, before: Reach) -> tuple[Audience, ...]:
    """The stages that the whole marketplace leaves behind; single datasets have no criteria."""
    if change.scope != MARKETPLACE:
        return ()
    return tuple(stage for stage in Audience if before.stage <= stage < change.reach.stage)


def _faults_of(connection: Connection, target: Target, now: datetime) -> list[str]:
    faults = []
    if target.scope != MARKETPLACE and target.scope not in datasets.names(connection):
        faults.append("There is no such dataset.")
    if target.by_invitation and target.stage is Audience.GOVERNMENT:
        faults.append("Central government is open as a whole; invite in a later stage.")
    if not target.by_invitation and (target.places or target.invited):
        faults.append("Places and invitations are for a stage that is open by invitation.")
    if target.by_invitation and not 1 <= target.places <= MOST_PLACES:
        faults.append(f"A wave has between 1 and {MOST_PLACES:,} places.")
    if len(set(target.invited)) > max(target.places, 0):
        faults.append("More are invited than there are places.")
    begins = target.begins
    if begins is not None and not now < begins <= now + FURTHEST:
        faults.append("A move begins at a moment to come, within two years.")
    if begins is not None and begins.microsecond:
        faults.append("A move begins at a whole second.")
    return faults


def _faults_of_names(connection: Connection, target: Target) -> list[str]:
    faults = []
    for name in target.invited:
        fault = fault_of_name(connection, name, target.stage)
        if fault:
            faults.append(fault)
    if len(set(target.invited)) < len(target.invited):
        faults.append("Somebody is invited twice.")
    return faults


def fault_of_name(connection: Connection, name: str, stage: Audience) -> str:
    """Why a name cannot be invited in a stage; nothing where it can."""
    kind, _, called = name.partition(":")
    party: Organisation | Project | None = None
    if name == principals.organisation(called) and called.isidentifier():
        party = organisations.find(connection, called)
    elif name == principals.project(called) and called.isidentifier():
        party = projects.find(connection, called)
    if party is None:
        return f"There is no {kind if kind == 'project' else 'organisation'} {called[:63]!r}."
    if party.audience is not stage:
        return f"{called} is of {AUDIENCES[party.audience]}; this opens to {AUDIENCES[stage]}."
    return ""
