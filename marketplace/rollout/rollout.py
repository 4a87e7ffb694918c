"""The rollout on one screen: where it stands, what a move would do, and moves that two people make.

Each use case is one step (`sharing/step.py`): a transaction with its moment and its caller, which
writes what it does together with its audit entry, or nothing. What a move does is foreseen before
the transaction that makes it, and again inside only where the policy has moved in between.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
from sqlalchemy import Connection

from access_policies import revision, rules, stages
from access_policies.decision_point import DecisionPoint
from access_policies.stages import AT_ONCE, Move
from access_policies.vocabulary import Action, Role
from marketplace import enforcement
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AccessDenied, InvalidMove, MoveOutdated
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import acting_as
from marketplace.plain_text import is_plain
from marketplace.rollout import invitations, proposals
from marketplace.rollout.criteria import Threshold
from marketplace.rollout.plan import Change, Plan, check_scope, plan, resolve
from marketplace.rollout.proposals import Outcome, Proposal, State, Target
from marketplace.rollout.situation import Situation, situation_of
from marketplace.rollout.words import of_counts, of_reach, of_scope
from marketplace.sharing.step import Step, Steps

LASTING = timedelta(days=14)
"""How long a proposal waits for a second person."""

_LONGEST_REASON = 2_000


class Rollout:
    """Stages and cohorts, and who moves them."""

    def __init__(
        self,
        *,
        database: Database,
        decision_point: DecisionPoint,
        clock: Clock,
        thresholds: tuple[Threshold, ...],
    ) -> None:
        self._database = database
        self._decision_point = decision_point
        self._clock = clock
        self._thresholds = thresholds
        self._steps = Steps(
            database=database,
            decision_point=decision_point,
            clock=clock,
            refused_as=EntryKind.ROLLOUT_REFUSED,
        )

    def situation(self, principal: Principal) -> Situation:
        """Where the rollout stands. For operators and auditors. Raises AccessDenied."""
        with self._steps.begin(principal) as step:
            _overseen(step, "situation")
            return situation_of(step.connection, self._thresholds, now=step.now)

    def history(self, principal: Principal) -> tuple[Proposal, ...]:
        """Every proposal and how it ended, newest first. For operators and auditors."""
        with self._steps.begin(principal) as step:
            _overseen(step, "history")
            return proposals.list_all(step.connection)

    def preview(self, principal: Principal, target: Target) -> Plan:
        """What a move would do. For operators and auditors. Raises InvalidMove, AccessDenied."""
        check_scope(target.scope)
        with self._steps.begin(principal) as step:
            _overseen(step, f"preview:{target.scope}:{target.stage.name.lower()}")
        with self._database.reading() as connection:
            return self._plan(connection, _change_to(target))

    def propose(
        self, principal: Principal, target: Target, *, reason: str, override: str = ""
    ) -> Proposal:
        """Propose a move, which another operator confirms.

        `override` is the reason for opening the marketplace against unmet exit criteria. Raises
        InvalidMove with a line per finding, AccessDenied.
        """
        check_scope(target.scope)
        _check_reason(reason)
        with self._planned(principal, _change_to(target)) as (step, planned):
            _check_criteria(planned, override)
            proposal = _proposal(
                step, planned, places=target.places, reason=reason, override=override
            )
            _enter(step, proposal)
        return proposal

    def confirm(
        self, principal: Principal, identifier: str, *, reason: str, foreseen: str | None = None
    ) -> Proposal:
        """Make a move that another operator proposed.

        Where it would no longer do what was foreseen, it is made only for whoever gives the
        fingerprint of what it does by now. Raises AccessDenied for the proposer and for a proposer
        who is no operator any more, MoveOutdated, InvalidMove, UnknownRecord.
        """
        _check_reason(reason)
        with self._planned(principal, _change_of(identifier)) as (step, planned):
            proposal = proposals.read(step.connection, identifier)
            self._check_open(step, proposal)
            self._check_two(step, proposal)
            _check_current(proposal, planned, foreseen, step.now)
            _check_criteria(planned, proposal.override)
            return _make(step, proposal, planned, reason)

    def withdraw(self, principal: Principal, identifier: str, *, reason: str) -> Proposal:
        """Take a proposal back. Any operator may. Raises UnknownRecord, InvalidMove."""
        _check_reason(reason)
        with self._steps.begin(principal) as step:
            step.check_operator()
            proposal = proposals.read(step.connection, identifier)
            self._check_open(step, proposal)
            ended = _end(step, proposal, made=False, reason=reason)
            step.record(EntryKind.STAGE_WITHDRAWN, {"proposal": proposal.id}, reason)
        return ended

    def undo(
        self, principal: Principal, scope: str, *, reason: str, override: str = ""
    ) -> Proposal:
        """Put back what stood before the newest move of a scope.

        One person does it at once where that opens nothing. Where it does, as of a closing or of a
        closing that is scheduled, it is a proposal that another operator confirms. Raises
        InvalidMove where there is nothing to undo.
        """
        check_scope(scope)
        _check_reason(reason)
        undoing = _undoing(scope)
        with self._planned(principal, undoing) as (step, planned):
            if planned.opens:
                _check_criteria(planned, override)
            proposal = _proposal(
                step, planned, undoes=planned.base, reason=reason, override=override
            )
            _enter(step, proposal)
            if planned.opens:
                return proposal
            return _make(step, proposal, planned, reason)

    def invite(self, principal: Principal, scope: str, name: str, *, reason: str) -> str:
        """Let a name take a free place in a wave in force, and return the wave.

        `name` is `organisation:<name>` or `project:<name>`. Two people have set how many places
        there are; one operator says whose they are. Raises InvalidMove, AccessDenied.
        """
        check_scope(scope)
        _check_reason(reason)
        with self._steps.begin(principal, changes_policy=True) as step:
            return invitations.invite(step, scope, name, reason)

    def uninvite(self, principal: Principal, scope: str, name: str, *, reason: str) -> str:
        """Take the place of a name in a wave in force back, and return the wave; the place is free.

        It closes and opens nothing, so one operator does it. Raises InvalidMove, AccessDenied.
        """
        check_scope(scope)
        _check_reason(reason)
        with self._steps.begin(principal, changes_policy=True) as step:
            return invitations.uninvite(step, scope, name, reason)

    def _plan(self, connection: Connection, change: "Resolve") -> Plan:
        now = self._clock()
        return plan(
            connection, self._decision_point, self._thresholds, change(connection, now), now=now
        )

    @contextmanager
    def _planned(self, principal: Principal, change: "Resolve") -> Iterator[tuple[Step, Plan]]:
        """A step of an operator that changes policy, with the plan as the policy stands in it."""
        with self._steps.begin(principal) as step:
            step.check_operator()
        with self._database.reading() as connection:
            planned = self._plan(connection, change)
        with self._steps.begin(principal, changes_policy=True) as step:
            step.check_operator()
            if revision.read(step.connection) != planned.revision + 1:
                planned = self._plan(step.connection, change)
            yield step, planned

    def _check_open(self, step: Step, proposal: Proposal) -> None:
        state = proposal.state(step.now)
        if state is not State.OPEN:
            raise InvalidMove(
                f"The proposal is {state} and cannot be decided on any more.",
                next_step="Propose it again if it should still be made.",
            )

    def _check_two(self, step: Step, proposal: Proposal) -> None:
        """Raise AccessDenied unless two people who are operators now have made up their minds."""
        if step.principal.person_id == proposal.proposed_by:
            raise AccessDenied(
                "A move of the rollout takes two people, and you proposed this one.",
                next_step="Another operator confirms it.",
            )
        as_operator = acting_as(step.connection, proposal.proposed_by, Role.OPERATOR, now=step.now)
        if not any(self._administers(step, proposer) for proposer in as_operator):
            raise AccessDenied(
                "Whoever proposed this is no operator of the marketplace any more.",
                next_step="Propose it again, and let another operator confirm it.",
            )

    def _administers(self, step: Step, principal: Principal) -> bool:
        return enforcement.decide(
            step.connection,
            self._decision_point,
            principal,
            Action.ADMINISTER,
            rules.ANY,
            now=step.now,
        ).allowed


Resolve = Callable[[Connection, datetime], Change]
"""Works out, as a scope stands at a moment, what is to hold for it."""


def _change_to(target: Target) -> Resolve:
    wave = uuid4().hex
    return lambda connection, now: resolve(connection, target, wave, now=now)


def _change_of(identifier: str) -> Resolve:
    def resolve_proposal(connection: Connection, _now: datetime) -> Change:
        proposal = proposals.read(connection, identifier)
        return Change(
            scope=proposal.scope,
            reach=proposal.reach,
            begins=proposal.begins,
            wave=proposal.id,
            invited=proposal.invited,
        )

    return resolve_proposal


def _undoing(scope: str) -> Resolve:
    wave = uuid4().hex

    def resolve_undo(connection: Connection, now: datetime) -> Change:
        moves = stages.history(connection, scope)
        if not moves:
            raise InvalidMove(
                f"{of_scope(scope)} was never moved, so nothing can be undone.",
                next_step="See the moves with: marketplace rollout history.",
            )
        before = stages.reach_of(scope, stages.holding(moves[:-1], now))
        return Change(scope=scope, reach=before, wave=wave)

    return resolve_undo


def _proposal(
    step: Step,
    planned: Plan,
    *,
    places: int = 0,
    undoes: int | None = None,
    reason: str,
    override: str,
) -> Proposal:
    change = planned.change
    return Proposal(
        id=change.wave,
        scope=change.scope,
        reach=change.reach,
        begins=change.begins,
        places=places,
        invited=change.invited,
        undoes=undoes,
        reason=reason,
        override=override if planned.unmet else "",
        effect=planned.effect.foreseen,
        revision=planned.revision,
        base=planned.base,
        proposed_by=step.principal.person_id,
        proposed_by_name=step.principal.person_name,
        proposed_at=step.now,
        expires_at=step.now + LASTING,
    )


def _enter(step: Step, proposal: Proposal) -> None:
    proposals.enter(step.connection, proposal)
    step.record(
        EntryKind.STAGE_PROPOSED, _facts(proposal), proposal.reason, override=proposal.override
    )


def _make(step: Step, proposal: Proposal, planned: Plan, reason: str) -> Proposal:
    """Write the move with its invitations, the end of its proposal, and the audit entry."""
    since = revision.read(step.connection)
    move = Move(
        scope=proposal.scope,
        since_revision=since,
        reach=proposal.reach,
        begins=rules.epoch(proposal.begins) if proposal.begins is not None else AT_ONCE,
    )
    stages.write(step.connection, move)
    for name in proposal.invited:
        stages.invite(step.connection, proposal.id, name, since_revision=since)
    ended = _end(step, proposal, made=True, reason=reason, since_revision=since)
    facts = _facts(proposal) | {
        "before": planned.before.stage.name.lower(),
        "opened": proposal.reach.stage.name.lower(),
        "revision": since,
        "effect": msgspec.to_builtins(planned.effect.counts),
    }
    step.record(
        EntryKind.STAGE_MOVED,
        facts,
        reason,
        proposed_by=proposal.proposed_by,
        proposed_because=proposal.reason,
        override=proposal.override,
    )
    return ended


def _end(
    step: Step, proposal: Proposal, *, made: bool, reason: str, since_revision: int | None = None
) -> Proposal:
    outcome = Outcome(
        made=made,
        by=step.principal.person_id,
        by_name=step.principal.person_name,
        at=step.now,
        reason=reason,
        revision=since_revision,
    )
    proposals.end(step.connection, proposal.id, outcome)
    return msgspec.structs.replace(proposal, outcome=outcome)


def _facts(proposal: Proposal) -> dict[str, Fact]:
    return {
        "proposal": proposal.id,
        "scope": proposal.scope,
        "stage": proposal.reach.stage.name.lower(),
        "waves": proposal.reach.waves,
        "places": proposal.places,
        "invited": proposal.invited,
        "begins": proposal.begins.isoformat() if proposal.begins is not None else None,
        "undoes": proposal.undoes,
        "overrides": bool(proposal.override),
        "foreseen": msgspec.to_builtins(proposal.effect),
    }


def _overseen(step: Step, what: str) -> None:
    step.check_overseer()
    step.record(EntryKind.ROLLOUT_READ, {"what": what}, "")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidMove("A move of the rollout has a reason.", next_step="Say in a sentence why.")
    if len(reason) > _LONGEST_REASON or not is_plain(reason):
        raise InvalidMove(
            f"A reason is plain text of up to {_LONGEST_REASON:,} characters.",
            next_step="Say it shorter, in plain text.",
        )


def _check_criteria(planned: Plan, override: str) -> None:
    """Raise InvalidMove for unmet exit criteria, unless there is a reason to go against them."""
    if not planned.unmet:
        return
    if override.strip():
        _check_reason(override)
        return
    raise InvalidMove(
        "The exit criteria of the stages that are left behind are not met.",
        next_step="Wait until they are, or propose it with --override and the reason for that.",
        lines=planned.unmet,
    )


def _check_current(proposal: Proposal, planned: Plan, foreseen: str | None, now: datetime) -> None:
    """Raise MoveOutdated where the proposal rests on what is so no longer."""
    if proposal.begins is not None and proposal.begins <= now:
        raise MoveOutdated(
            "The moment at which this was to begin has passed.",
            next_step="Propose it again, from a moment to come or at once.",
        )
    if planned.base != proposal.base:
        raise MoveOutdated(
            f"{of_scope(proposal.scope)} was moved since this was proposed: it is "
            f"{of_reach(planned.before)}.",
            next_step="Propose again what should hold by now.",
        )
    present = planned.effect.foreseen
    if present.fingerprint not in (proposal.effect.fingerprint, foreseen):
        raise MoveOutdated(
            "The policy has changed since this was proposed, and the move would do something else.",
            next_step=f"Confirm it with --foreseen {present.fingerprint} if that is right.",
            lines=[
                *(f"Proposed: {sentence}" for sentence in of_counts(proposal.effect.counts)),
                *(f"By now: {sentence}" for sentence in of_counts(present.counts)),
            ],
        )
