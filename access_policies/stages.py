"""Rollout stages: the highest audience that the marketplace, or one dataset, is open to.

A stage is a ceiling and never a grant. Until an operator opens it, the marketplace is open to
government alone; a dataset without a stage of its own has no ceiling but the marketplace's.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select

from access_policies.records import stages
from access_policies.vocabulary import Audience, Resource

MARKETPLACE = "*"


def stage(connection: Connection, scope: str) -> Audience:
    """The stage of a dataset (`organisation.dataset`) or of the marketplace (`*`)."""
    held = connection.execute(select(stages.c.stage).where(stages.c.scope == scope)).scalar()
    if held is None:
        return Audience.GOVERNMENT if scope == MARKETPLACE else Audience.PUBLIC
    return Audience(held)


def set_stage(connection: Connection, scope: str, opened: Audience) -> None:
    """Open or close a dataset or the marketplace. The caller advances the revision."""
    connection.execute(delete(stages).where(stages.c.scope == scope))
    connection.execute(insert(stages).values(scope=scope, stage=int(opened)))


def resource(connection: Connection, dataset: str) -> Resource:
    """A dataset as the decision point takes it, with its stage."""
    return Resource(dataset=dataset, stage=stage(connection, dataset))


def resources(connection: Connection, datasets: Iterable[str]) -> tuple[Resource, ...]:
    """Many datasets with their stages, by one statement."""
    held = {row.scope: Audience(row.stage) for row in connection.execute(select(stages))}
    return tuple(Resource(dataset=name, stage=held.get(name, Audience.PUBLIC)) for name in datasets)
