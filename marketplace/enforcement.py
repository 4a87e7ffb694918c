"""The enforcement point: ask for a decision in the transaction that records it, then discharge it.

A use case opens one write transaction, asks here, and records the answer there; the policy revision
is held under a shared lock until that commits, so no allow can be recorded after a revoke returned.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, assert_never

import msgspec
from sqlalchemy import Connection

from access_policies import revision, scope_fit, stages
from access_policies.decision import Decision, LimitOutput, LimitResult, OutputTier, RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.scope import AllRows, RowsInPlaces, TableScope, conditions_of
from access_policies.vocabulary import Action, Environment, Resource, Subject
from catalogue.dataset import ReleaseTable
from catalogue.table_schema import TableSchema
from marketplace.engine.limits import ResultLimit
from marketplace.errors import AccessDenied
from marketplace.identity.principal import Principal

WHOLE_MARKETPLACE = stages.MARKETPLACE


def decide(
    connection: Connection,
    decision_point: DecisionPoint,
    principal: Principal,
    action: Action,
    dataset: str,
    *,
    now: datetime,
) -> Decision:
    """Decide one action on one dataset (`organisation.dataset`, or `*` for the marketplace).

    Call it inside the transaction that records the answer: it takes the shared lock on the
    policy revision.
    """
    revision.lock_shared(connection)
    purpose = principal.project_purpose or "*"
    asked = circumstances(connection, principal.subject, dataset, purpose, now=now)
    decision = decision_point.decide(
        connection, principal.subject, action, asked.resource, asked.environment
    )
    ends = [end for end in (decision.until, asked.changes_at) if end is not None]
    return msgspec.structs.replace(decision, until=min(ends, default=None))


class Asked(NamedTuple):
    """What a decision is asked with, and when a scheduled move of the rollout next changes it."""

    resource: Resource
    environment: Environment
    changes_at: datetime | None


def circumstances(
    connection: Connection, subject: Subject, dataset: str, purpose: str, *, now: datetime
) -> Asked:
    """The dataset and the circumstances, with the stages as they are open to this subject."""
    opened = stages.openings(
        connection, {WHOLE_MARKETPLACE, dataset}, now=now, names=subject.principals
    )
    ceilings = {scope: one.ceiling_for(subject.principals) for scope, one in opened.items()}
    changes = (one.changes_at for one in opened.values() if one.changes_at is not None)
    return Asked(
        Resource(dataset=dataset, stage=ceilings[dataset]),
        Environment(now=now, stage=ceilings[WHOLE_MARKETPLACE], purpose=purpose),
        min(changes, default=None),
    )


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
