"""What will be removed from a store: condemned now, removed a grace period later.

Each kind of file has keys under a prefix of its own, and whoever owns the prefix says what of it
is of no use any more. Nothing is removed by the look that condemns it, so a mistake, a slow
reader and a backup that is still being made all have the grace period.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from catalogue.records import condemned_objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Condemned:
    """An object that nothing can use any more."""

    key: str
    bytes: int


def condemn(connection: Connection, objects: Collection[Condemned], *, now: datetime) -> None:
    """Write the objects down; none of them may be written down already."""
    if objects:
        rows = [{"key": one.key, "bytes": one.bytes, "condemned_at": now} for one in objects]
        connection.execute(insert(condemned_objects), rows)


def strike(connection: Connection, objects: Collection[Condemned]) -> int:
    """Take objects off the list, removed or acquitted; returns how many were on it."""
    keys = [one.key for one in objects]
    struck = connection.execute(delete(condemned_objects).where(condemned_objects.c.key.in_(keys)))
    return struck.rowcount


def due(
    connection: Connection,
    prefix: str,
    *,
    now: datetime,
    grace: timedelta,
    limit: int | None = None,
) -> tuple[Condemned, ...]:
    """What was condemned under `prefix` at least `grace` ago, in the order of keys.

    On PostgreSQL the rows stay locked until the transaction ends, so that of two collectors at
    the same moment only one removes each object.
    """
    query = (
        select(condemned_objects.c.key, condemned_objects.c.bytes)
        .where(condemned_objects.c.condemned_at <= now - grace)
        .where(condemned_objects.c.key.startswith(prefix, autoescape=True))
        .order_by(condemned_objects.c.key)
        .limit(limit)
        .with_for_update()
    )
    return tuple(Condemned(key=row.key, bytes=row.bytes) for row in connection.execute(query))
