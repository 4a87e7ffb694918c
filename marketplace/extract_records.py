"""Extracts as rows: which files serve a scope, and which of them nobody will read any more.

The files of an extract are condemned before the first of them is stored, and taken off that list
by the transaction that records the extract. So whatever a crash leaves behind is known, and no
file in the store is ever taken for abandoned because this database has not heard of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from catalogue import condemned
from catalogue.condemned import Condemned
from catalogue.dataset import DataFile
from catalogue.errors import ObjectMissing
from catalogue.instant import UtcDateTime
from catalogue.object_store import ObjectStore

PREFIX = "extracts/"

# How many objects one transaction removes, so that on SQLite no other writer waits for long.
_AT_ONCE = 200

metadata = MetaData()

extracts = Table(
    "extracts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("files", Text, nullable=False),
    Column("built_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptExtract:
    """An extract that is there, and when it was last known to be read."""

    files: tuple[DataFile, ...]
    last_used_at: datetime


def find(connection: Connection, key: str) -> KeptExtract | None:
    """The extract of that key, if there is one now."""
    row = connection.execute(select(extracts).where(extracts.c.key == key)).one_or_none()
    if row is None:
        return None
    return KeptExtract(files=_decode(row.files), last_used_at=row.last_used_at)


def touch(connection: Connection, key: str, *, now: datetime) -> None:
    """Note that somebody reads it."""
    connection.execute(update(extracts).where(extracts.c.key == key).values(last_used_at=now))


def announce(connection: Connection, files: Collection[DataFile], *, now: datetime) -> None:
    """Condemn files that are about to be stored; commit this before the first of them is."""
    condemned.condemn(connection, _condemned(files), now=now)


def keep(connection: Connection, key: str, files: tuple[DataFile, ...], *, now: datetime) -> None:
    """Record the extract, so that its files are condemned no more.

    Raises IntegrityError where another recorded that key first, and ObjectMissing where the build
    took so long that its files were swept.
    """
    row = {"key": key, "files": _encode(files), "built_at": now, "last_used_at": now}
    connection.execute(insert(extracts).values(row))
    if condemned.strike(connection, _condemned(files)) != len(files):
        raise ObjectMissing(
            "An extract took so long to build that its files were taken for abandoned.",
            next_step="Send the query again.",
        )


def drop_idle(connection: Connection, *, now: datetime, idle: timedelta) -> tuple[Condemned, ...]:
    """Forget extracts that nobody has read for `idle`, and condemn their files; returns those.

    They are built again when somebody needs them. Who found one a moment ago can still fetch its
    files, which go by `sweep`.
    """
    dropped = connection.execute(
        delete(extracts).where(extracts.c.last_used_at < now - idle).returning(extracts.c.files)
    ).scalars()
    files = _condemned([file for encoded in dropped for file in _decode(encoded)])
    condemned.condemn(connection, files, now=now)
    return files


def drop_broken(
    connection: Connection, key: str, files: tuple[DataFile, ...], *, now: datetime
) -> None:
    """Forget an extract whose files cannot be read, and condemn what may be left of them.

    Does nothing where these are not its files any more: somebody else has built it again.
    """
    these = (extracts.c.key == key, extracts.c.files == _encode(files))
    if connection.execute(delete(extracts).where(*these)).rowcount:
        condemned.condemn(connection, _condemned(files), now=now)


def due(connection: Connection, *, now: datetime, grace: timedelta) -> tuple[Condemned, ...]:
    """The files that `sweep` would remove now, however many they are."""
    return condemned.due(connection, PREFIX, now=now, grace=grace)


def sweep(
    connection: Connection,
    store: ObjectStore,
    *,
    now: datetime,
    grace: timedelta,
    limit: int = _AT_ONCE,
) -> tuple[Condemned, ...]:
    """Remove up to `limit` files that were condemned at least `grace` ago; returns them.

    A file is in an extract or condemned, never both, because one transaction moves it. Where this
    one is rolled back, the files are gone and still condemned; the next sweep puts that right.
    """
    removed = condemned.due(connection, PREFIX, now=now, grace=grace, limit=limit)
    for one in removed:
        store.delete(one.key)
    condemned.strike(connection, removed)
    return removed


def _condemned(files: Collection[DataFile]) -> tuple[Condemned, ...]:
    return tuple(Condemned(key=file.key, bytes=file.bytes) for file in files)


def _encode(files: tuple[DataFile, ...]) -> str:
    return msgspec.json.encode(files).decode()


def _decode(files: str) -> tuple[DataFile, ...]:
    return msgspec.json.decode(files, type=tuple[DataFile, ...])
