"""The enforcement point: ask for a decision in the transaction that records it, then discharge it.

A use case opens one write transaction, asks here, and records the answer there; the policy revision
is held under a shared lock until that commits, so no allow can be recorded after a revoke returned.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, assert_never

import msgspec
from sqlalchemy import Connection

from access_policies import revision, rules, scope_fit, stages
from access_policies.decision import Decision, LimitOutput, LimitResult, OutputTier, RestrictTo
from access_policies.decision_point import DecisionPoint, Question
from access_policies.history import ABSENT, TODAY, Kind, Past
from access_policies.scope import AllRows, RowsInPlaces, TableScope, conditions_of
from access_policies.slice_query import Beside, Wanted
from access_policies.stages import Opening
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject
from catalogue import datasets as described
from catalogue.address import DatasetAddress
from catalogue.dataset import Handling, ReleaseTable
from catalogue.records import datasets as catalogued
from catalogue.table_schema import TableSchema
from marketplace.engine.limits import ResultLimit
from marketplace.errors import AccessDenied
from marketplace.identity.principal import Principal

WHOLE_MARKETPLACE = stages.MARKETPLACE

HANDLING = Beside(catalogued.name, (("obligations", catalogued.c.handling.name),))
"""How a dataset is to be handled, by `organisation` and `dataset`, read along with rules."""


def decide(
    connection: Connection,
    decision_point: DecisionPoint,
    principal: Principal,
    action: Action,
    dataset: str,
    *,
    now: datetime,
    under: int | None = None,
) -> Decision:
    """Decide one action on one dataset (`organisation.dataset`, or `*` for the marketplace).

    Call it inside the transaction that records the answer. `under` is the policy revision that the
    transaction holds (`revision.lock_shared`) and does not move: with it, a permission that was
    found under it before is given out again while it holds. Without it the shared lock is taken
    here and everything is found anew, as it must be for whoever moves the revision: what they
    found may be rolled back.
    """
    if under is None:
        revision.lock_shared(connection)
        return _decided(connection, decision_point, principal, action, dataset, now)
    asked = Question(principal.subject, principal.project_purpose, action, dataset)
    known = decision_point.kept.find(asked, revision=under, now=now)
    if known is not None:
        return known
    found = _decided(connection, decision_point, principal, action, dataset, now)
    # A refusal is found anew each time: nobody can fill the memo with what does not exist.
    if found.allowed:
        decision_point.kept.keep(asked, found, revision=under, since=now, until=found.until)
    return found


def permitted(
    connection: Connection,
    decision_point: DecisionPoint,
    principal: Principal,
    action: Action,
    datasets: Collection[str],
    *,
    now: datetime,
) -> tuple[str, ...]:
    """Those of the datasets, in their order, on which the action is allowed; `decide` for many.

    It reads all of the caller's rules at once, and takes the shared lock on the policy revision.
    """
    revision.lock_shared(connection)
    subject = principal.subject
    under = ceilings(connection, datasets, now=now, names=subject.principals)
    asked = [under.asked(subject, principal.project_purpose, one, now=now) for one in datasets]
    if not asked:
        return ()
    allowed = decision_point.permitted(
        connection, subject, action, (one.resource for one in asked), asked[0].environment
    )
    return tuple(resource.dataset for resource in allowed)


def _decided(
    connection: Connection,
    decision_point: DecisionPoint,
    principal: Principal,
    action: Action,
    dataset: str,
    now: datetime,
) -> Decision:
    """Find the slice, the stages and the handling by one statement, and decide."""
    subject, scopes = principal.subject, {WHOLE_MARKETPLACE, dataset}
    besides = (stages.BESIDE, {"scope": (*scopes,)}), (HANDLING, _parts(dataset))
    found, moved, handled = rules.rows_for(connection, dataset, subject.principals, action, besides)
    handlings = (Handling(HANDLING.named(row)["handling"]) for row in handled)
    moves = map(stages.move_of, moved)
    opened = Ceilings(
        stages.openings_by(connection, moves, scopes, now=now, names=subject.principals),
        {dataset: min(map(_ceiling, handlings), default=Audience.PUBLIC)},
    )
    asked = opened.asked(subject, principal.project_purpose, dataset, now=now)
    decision = decision_point.decide_over(found, subject, action, asked.resource, asked.environment)
    ends = [end for end in (decision.until, asked.changes_at) if end is not None]
    return msgspec.structs.replace(decision, until=min(ends, default=None))


def _parts(dataset: str) -> Wanted:
    """What a dataset is sought by; nothing is found for what covers many. Raises InvalidAddress."""
    if _can_have_handling(dataset):
        DatasetAddress.parse(dataset)
    organisation, _, name = dataset.partition(".")
    return {"organisation": (organisation,), "dataset": (name,)}


class Asked(NamedTuple):
    """What a decision is asked with, and when a scheduled move of the rollout next changes it."""

    resource: Resource
    environment: Environment
    changes_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How far the marketplace and some datasets are open, to be asked about many callers.

    `openings` are by dataset and `*`, `handled` the ceilings that handling sets, by dataset.
    """

    openings: Mapping[str, Opening]
    handled: Mapping[str, Audience]

    @property
    def names(self) -> frozenset[str]:
        """The names that a ceiling depends on: callers who share these are under the same ceilings."""
        invited = (opening.invited for opening in self.openings.values())
        return frozenset[str]().union(*(names for names in invited if names is not None))

    def over(self, scope: str) -> tuple[Audience, frozenset[str] | None, Audience]:
        """Everything that bears on one dataset or `*`; equal where callers are under the same."""
        opening = self.openings[scope]
        return opening.stage, opening.invited, self.handled.get(scope, Audience.PUBLIC)

    def most(self, scope: str) -> Audience:
        """The least trusted audience that anybody could be of to whom it is open."""
        return min(self.openings[scope].stage, self.handled.get(scope, Audience.PUBLIC))

    def asked(self, subject: Subject, purpose: str, dataset: str, *, now: datetime) -> Asked:
        """What the decision point is asked with when this caller asks for a dataset."""
        whole, own = self.openings[WHOLE_MARKETPLACE], self.openings[dataset]
        stage = own.ceiling_for(subject.principals)
        changes = [at for at in (whole.changes_at, own.changes_at) if at is not None]
        return Asked(
            Resource(dataset=dataset, stage=min(stage, self.handled.get(dataset, Audience.PUBLIC))),
            Environment(
                now=now, stage=whole.ceiling_for(subject.principals), purpose=purpose or rules.ANY
            ),
            min(changes, default=None),
        )


def ceilings(
    connection: Connection,
    datasets: Collection[str],
    *,
    now: datetime,
    names: Collection[str] | None = None,
    past: Past = TODAY,
) -> Ceilings:
    """How far the marketplace and these datasets are open at a moment, or were.

    Where the names of a single caller are given, only whether these are invited is looked up.
    """
    scopes = {WHOLE_MARKETPLACE, *datasets}
    return Ceilings(
        stages.openings(connection, scopes, now=now, names=names, at_revision=past.revision),
        dict(_handled(connection, datasets, past)),
    )


def handling_ceiling(connection: Connection, dataset: str) -> Audience:
    """The least trusted audience that the handling of a dataset leaves it open to, at any stage."""
    if not _can_have_handling(dataset):
        return Audience.PUBLIC
    return _ceiling(described.handling(connection, DatasetAddress.parse(dataset)))


def _can_have_handling(dataset: str) -> bool:
    return dataset != WHOLE_MARKETPLACE and not dataset.endswith(".*")


def handled(connection: Connection) -> Mapping[str, Audience]:
    """The ceilings of the datasets whose handling sets one, by address."""
    return {name: _ceiling(one) for name, one in described.handled(connection).items()}


def _handled(
    connection: Connection, datasets: Collection[str], past: Past
) -> Iterator[tuple[str, Audience]]:
    """Each dataset with the ceiling that its handling is, or was."""
    if len(datasets) == 1 and not past.keys(Kind.HANDLING):
        (dataset,) = datasets
        yield dataset, handling_ceiling(connection, dataset)
        return
    handled = described.handled(connection)
    for dataset in datasets:
        then = past.was(Kind.HANDLING, dataset, handled.get(dataset, Handling.NONE).value)
        yield dataset, _ceiling(Handling.NONE if then is ABSENT else Handling(then))


def _ceiling(handling: Handling) -> Audience:
    match handling:
        case Handling.NONE:
            return Audience.PUBLIC
        case Handling.HMG_USE_ONLY:
            return Audience.GOVERNMENT
        case unknown:
            assert_never(unknown)


def require(decision: Decision, *, next_step: str) -> None:
    """Raise AccessDenied with the decision's own reason where it is no."""
    if not decision.allowed:
        raise AccessDenied(decision.reason, next_step=next_step)


def scope_of(decision: Decision, table: ReleaseTable) -> TableScope:
    """What of one table an allowed decision lets out, every obligation discharged.

    `result_limit` says how much of it one result may have. Raises AccessDenied where the agreement
    does not name the table, rests on columns that the release no longer has or has otherwise, or
    obliges to something that cannot be done here.
    """
    scope = TableScope(table=table.name, columns=table.schema.names, rows=AllRows())
    for obligation in decision.obligations:
        match obligation:
            case RestrictTo(tables=tables):
                scope = _agreed(tables, table)
            case LimitOutput(tier=OutputTier.ROWS) | LimitResult():
                continue
            case LimitOutput(tier=tier):
                raise AccessDenied(
                    f"The agreement lets results out only as {tier.value}, which this exit cannot do.",
                    next_step="Ask the owner for an agreement whose output tier is rows.",
                )
            case _:
                assert_never(obligation)
    return scope


def result_limit(decisions: Iterable[Decision]) -> ResultLimit | None:
    """How much one result over everything decided may have: the smallest of all limits."""
    limits = [
        obligation
        for decision in decisions
        for obligation in decision.obligations
        if isinstance(obligation, LimitResult)
    ]
    if not limits:
        return None
    return ResultLimit(
        rows=min((one.rows for one in limits if one.rows is not None), default=None),
        bytes=min((one.bytes for one in limits if one.bytes is not None), default=None),
    )


def _agreed(tables: tuple[TableScope, ...], table: ReleaseTable) -> TableScope:
    agreed = next((scope for scope in tables if scope.table == table.name), None)
    if agreed is None:
        raise AccessDenied(
            f'The agreement does not cover the table "{table.name}".',
            next_step="Ask the owner to extend the agreement to this table.",
        )
    faults = suspended_by(agreed, table.schema)
    if faults:
        raise AccessDenied(
            f"The agreement is suspended: {' '.join(faults)}",
            next_step="Ask the owner to revise the agreement for the new contract.",
        )
    return agreed


def suspended_by(agreed: TableScope, schema: TableSchema) -> tuple[str, ...]:
    """Say why a table as it is cannot be served as agreed; nothing where it can."""
    types = {column.name: column.type for column in schema.columns}
    gone = dict.fromkeys(
        name for name in (*agreed.columns, *scope_fit.rests_on(agreed)) if name not in types
    )
    sentences = [f'The column "{name}" of {agreed.table} is gone.' for name in gone]
    by_place = any(isinstance(one, RowsInPlaces) for one in conditions_of(agreed.rows))
    if by_place and schema.place_column is None:
        sentences.append(f"{agreed.table} no longer marks a column with area codes.")
    if not sentences:
        sentences += scope_fit.changed(agreed, types) or scope_fit.faults(agreed, types)
    return tuple(sentences)
