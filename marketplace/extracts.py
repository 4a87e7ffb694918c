"""Extracts: for each agreed scope over a release, Parquet files that hold exactly that and no more.

What a caller may not see is not there, so their SQL runs unmodified (decision 0003). An extract is
keyed by the content it comes from and the resolved scope, and shared by all agreements with that
key. A scope that is the whole table needs none: the release's own files serve it.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from uuid import uuid4
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import Column as TableColumn
from sqlalchemy import Connection, MetaData, String, Table, Text, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from access_policies.decision import AllRows, RowsInPlaces, RowsWithValues, TableScope
from catalogue.dataset import DataFile, ReleaseTable
from catalogue.errors import ObjectMissing
from catalogue.instant import UtcDateTime
from catalogue.object_store import ObjectStore
from catalogue.places import Places
from connectors.verified_cache import VerifiedCache
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.engine.extract import EveryRow, ResolvedRows, RowsAmong, build_extract
from marketplace.engine.limits import Limits
from marketplace.errors import AccessDenied

metadata = MetaData()

extracts = Table(
    "extracts",
    metadata,
    TableColumn("key", String(64), primary_key=True),
    TableColumn("files", Text, nullable=False),
    TableColumn("built_at", UtcDateTime, nullable=False),
    TableColumn("last_used_at", UtcDateTime, nullable=False),
)


class Extracts:
    """Finds the files that serve a scope, and builds them once where they are not there yet."""

    def __init__(
        self,
        *,
        database: Database,
        store: ObjectStore,
        cache: VerifiedCache,
        places: Places,
        limits: Limits,
        scratch: Path,
        clock: Clock,
    ) -> None:
        self._database = database
        self._store = store
        self._cache = cache
        self._places = places
        self._limits = limits
        self._scratch = scratch
        self._clock = clock
        # A lock lives as long as somebody builds or waits for that key.
        self._building: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._guard = Lock()

    def files_for(self, table: ReleaseTable, scope: TableScope) -> tuple[DataFile, ...]:
        """The files that hold exactly `scope` of `table`, built and kept if need be."""
        if isinstance(scope.rows, AllRows) and scope.columns == table.schema.names:
            return table.files
        rows = self._resolve(table, scope)
        key = _key(table, scope, rows)
        found = self._find(key)
        if found is not None:
            return found
        with self._alone(key):
            return self._find(key) or self._build(key, table, scope, rows)

    def drop_unused(self, *, idle: timedelta) -> int:
        """Remove extracts that nobody has read for `idle`; they are built again when needed.

        Returns how many were dropped. The record goes first, so a reader never finds a key whose
        files are gone.
        """
        before = self._clock() - idle
        with self._database.writing() as connection:
            dropped = connection.execute(
                delete(extracts).where(extracts.c.last_used_at < before).returning(extracts.c.files)
            ).all()
        for (files,) in dropped:
            for file in _decode(files):
                self._store.delete(file.key)
        return len(dropped)

    def _resolve(self, table: ReleaseTable, scope: TableScope) -> ResolvedRows:
        match scope.rows:
            case AllRows():
                return EveryRow()
            case RowsInPlaces(places=places):
                column = table.schema.place_column
                if column is None:
                    raise AccessDenied(
                        f'The agreement is for places, but the table "{table.name}" marks no column '
                        "that holds area codes.",
                        next_step="Ask the publisher to mark it, or the owner for another scope.",
                    )
                codes = frozenset[str]().union(*(self._places.codes(place) for place in places))
                return RowsAmong(column=column.name, values=codes)
            case RowsWithValues(column=column_name, values=values):
                return RowsAmong(column=column_name, values=frozenset(values))

    def _find(self, key: str) -> tuple[DataFile, ...] | None:
        now = self._clock()
        with self._database.reading() as connection:
            row = connection.execute(select(extracts).where(extracts.c.key == key)).one_or_none()
        if row is None:
            return None
        if now - row.last_used_at > timedelta(hours=1):
            self._touch(key, now)
        return _decode(row.files)

    def _touch(self, key: str, now: datetime) -> None:
        with self._database.writing() as connection:
            connection.execute(
                update(extracts).where(extracts.c.key == key).values(last_used_at=now)
            )

    def _build(
        self, key: str, table: ReleaseTable, scope: TableScope, rows: ResolvedRows
    ) -> tuple[DataFile, ...]:
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="extract-") as folder:
            with self._cache.pinned(table.files) as paths:
                written = build_extract(
                    paths, columns=scope.columns, rows=rows, into=Path(folder), limits=self._limits
                )
            build = uuid4().hex
            files = tuple(
                DataFile(
                    key=f"extracts/{key}/{build}/{file.sha256}.parquet",
                    sha256=file.sha256,
                    bytes=file.bytes,
                    rows=file.rows,
                )
                for file in written
            )
            for stored, local in zip(files, written, strict=True):
                self._store.put(stored.key, local.path)
        return self._keep(key, files)

    def _keep(self, key: str, files: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
        now = self._clock()
        try:
            with self._database.writing() as connection:
                _insert(connection, key, files, now)
        except IntegrityError:
            # Another node built the same extract first; its files serve, ours are not needed.
            for file in files:
                self._store.delete(file.key)
            winner = self._find(key)
            if winner is None:
                raise ObjectMissing(
                    "An extract was built twice and dropped at the same moment.",
                    next_step="Send the query again.",
                ) from None
            return winner
        return files

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._guard:
            lock = self._building.setdefault(key, Lock())
        with lock:
            yield


def _insert(connection: Connection, key: str, files: tuple[DataFile, ...], now: datetime) -> None:
    connection.execute(
        insert(extracts).values(
            key=key,
            files=msgspec.json.encode(files).decode(),
            built_at=now,
            last_used_at=now,
        )
    )


def _decode(files: str) -> tuple[DataFile, ...]:
    return msgspec.json.decode(files, type=tuple[DataFile, ...])


def _key(table: ReleaseTable, scope: TableScope, rows: ResolvedRows) -> str:
    """One key for one content: the source files and the resolved scope, in canonical order."""
    facts = ([file.sha256 for file in table.files], scope.columns, rows)
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()
