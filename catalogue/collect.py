"""Removing files that no release holds, in two phases, so that a live one is never taken.

A publish that crashed or lost its race leaves files behind. `condemn` writes down which of them
nothing can ever use; `sweep`, a grace period later, removes what was written down. Both look again
at the database, never at what a process believed about its own commit: files are not removed
because a commit failed, but because its intent can no longer commit.

Only keys of the publish protocol are looked at (`releases/<intent>/...`). An object under an
intent that the database does not know is left alone: the database may be an older backup.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from catalogue import condemned
from catalogue.condemned import Condemned
from catalogue.object_store import ObjectStore
from catalogue.records import IntentState, condemned_objects, intents, release_files
from catalogue.releases import PREFIX

# How many objects one transaction removes, so that on SQLite no other writer waits for long.
_AT_ONCE = 200


def condemn(
    connection: Connection, store: ObjectStore, *, now: datetime, grace: timedelta
) -> tuple[Condemned, ...]:
    """Write down the objects that no release holds or ever will; returns those that are new.

    Ends every intent whose lease is over, so that none of them can commit from here on. An object
    is spared while its intent is open, while any release holds it, and until it is `grace` old by
    the store's own time. Nothing is removed, so this is also the way to see what would be.
    """
    _end_expired(connection, now)
    # In this order: an intent that is seen as committed has its files in the second answer.
    closed = _closed_intents(connection)
    spared = _live_keys(connection) | _condemned_keys(connection)
    found = tuple(
        Condemned(key=stored.key, bytes=stored.bytes)
        for stored in store.list(PREFIX)
        if stored.key not in spared
        and _intent_of(stored.key) in closed
        and stored.modified_at <= now - grace
    )
    condemned.condemn(connection, found, now=now)
    return found


def due(connection: Connection, *, now: datetime, grace: timedelta) -> tuple[Condemned, ...]:
    """The objects that `sweep` would remove now, however many they are."""
    return _unused(connection, condemned.due(connection, PREFIX, now=now, grace=grace))


def sweep(
    connection: Connection,
    store: ObjectStore,
    *,
    now: datetime,
    grace: timedelta,
    limit: int = _AT_ONCE,
) -> tuple[Condemned, ...]:
    """Remove up to `limit` objects that were condemned at least `grace` ago; returns them.

    Each is held against the releases and the open intents once more. Where the transaction is
    rolled back, the objects are gone and still condemned; the next sweep puts that right.
    """
    looked_at = condemned.due(connection, PREFIX, now=now, grace=grace, limit=limit)
    removed = _unused(connection, looked_at)
    for one in removed:
        store.delete(one.key)
    condemned.strike(connection, looked_at)
    return removed


def _unused(connection: Connection, objects: Collection[Condemned]) -> tuple[Condemned, ...]:
    closed = _closed_intents(connection)
    live = _live_keys(connection)
    return tuple(one for one in objects if one.key not in live and _intent_of(one.key) in closed)


def _end_expired(connection: Connection, now: datetime) -> None:
    connection.execute(
        update(intents)
        .where(intents.c.state == IntentState.OPEN, intents.c.expires_at <= now)
        .values(state=IntentState.ENDED)
    )


def _closed_intents(connection: Connection) -> frozenset[str]:
    query = select(intents.c.id).where(intents.c.state != IntentState.OPEN)
    return frozenset(connection.execute(query).scalars())


def _live_keys(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(release_files.c.key).distinct()).scalars())


def _condemned_keys(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(condemned_objects.c.key)).scalars())


def _intent_of(key: str) -> str:
    return key.removeprefix(PREFIX).partition("/")[0]
