"""The enforcement point: ask for a decision in the transaction that records it, then discharge it.

A use case opens one write transaction, asks here, and records the answer there; the policy revision
is held under a shared lock until that commits, so no allow can be recorded after a revoke returned.
"""

from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from access_policies import revision, rules
from access_policies.decision import (
    AllRows,
    Decision,
    LimitOutput,
    OutputTier,
    RestrictTo,
    RowsInPlaces,
    RowsWithValues,
    TableScope,
)
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action, Environment, Resource
from catalogue.dataset import ReleaseTable
from marketplace.errors import AccessDenied
from marketplace.identity.principal import Principal

WHOLE_MARKETPLACE = "*"


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
    stage = rules.stage(connection, WHOLE_MARKETPLACE)
    resource = Resource(dataset=dataset, stage=rules.stage(connection, dataset))
    environment = Environment(now=now, stage=stage, purpose=principal.project_purpose or "*")
    return decision_point.decide(connection, principal.subject, action, resource, environment)


def require(decision: Decision, *, next_step: str) -> None:
    """Raise AccessDenied with the decision's own reason where it is no."""
    if not decision.allowed:
        raise AccessDenied(decision.reason, next_step=next_step)


def scope_of(decision: Decision, table: ReleaseTable) -> TableScope:
    """What of one table an allowed decision lets out, every obligation discharged.

    Raises AccessDenied where the agreement does not name the table, names a column that the
    release no longer has, or obliges to something that cannot be done here.
    """
    scope = TableScope(table=table.name, columns=table.schema.names, rows=AllRows())
    for obligation in decision.obligations:
        match obligation:
            case RestrictTo(tables=tables):
                scope = _agreed(tables, table)
            case LimitOutput(tier=OutputTier.ROWS):
                continue
            case LimitOutput(tier=tier):
                raise AccessDenied(
                    f"The agreement lets results out only as {tier.value}, which this exit cannot do.",
                    next_step="Ask the owner for an agreement whose output tier is rows.",
                )
            case _:
                assert_never(obligation)
    return scope


def _agreed(tables: tuple[TableScope, ...], table: ReleaseTable) -> TableScope:
    agreed = next((scope for scope in tables if scope.table == table.name), None)
    if agreed is None:
        raise AccessDenied(
            f'The agreement does not cover the table "{table.name}".',
            next_step="Ask the owner to extend the agreement to this table.",
        )
    gone = [name for name in _needed(agreed) if name not in table.schema.names]
    if isinstance(agreed.rows, RowsInPlaces) and table.schema.place_column is None:
        gone.append("a column of area codes")
    if gone:
        raise AccessDenied(
            f"The agreement is suspended: the newest release no longer has {', '.join(gone)}.",
            next_step="Ask the owner to revise the agreement for the new contract.",
        )
    return agreed


def _needed(agreed: TableScope) -> tuple[str, ...]:
    """The columns that serving a scope takes; what rows are chosen by need not be let out."""
    by = agreed.rows.column if isinstance(agreed.rows, RowsWithValues) else None
    return (*agreed.columns, by) if by and by not in agreed.columns else agreed.columns
