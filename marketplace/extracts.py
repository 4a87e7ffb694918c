"""Extracts: for each agreed scope over a release, Parquet files that hold exactly that and no more.

What a caller may not see is not there, so their SQL runs unmodified (decision 0003). An extract is
keyed by the content it comes from and the resolved scope, and shared by all agreements with that
key. A scope that is the whole table needs none: the release's own files serve it.
"""

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Lock
from uuid import uuid4
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy.exc import IntegrityError

from access_policies.decision import AllRows, RowsInPlaces, RowsWithValues, TableScope
from catalogue.dataset import DataFile, ReleaseTable
from catalogue.errors import ObjectCorrupted, ObjectMissing
from catalogue.object_store import ObjectStore
from catalogue.places import Places
from connectors.verified_cache import VerifiedCache
from marketplace import extract_records
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.engine.extract.build import EveryRow, ResolvedRows, RowsAmong, build_extract
from marketplace.engine.limits import Limits
from marketplace.engine.written_file import WrittenFile
from marketplace.errors import AccessDenied

# How exactly it is known when an extract was last read; a write for each query would be dear.
_NOTED_EVERY = timedelta(hours=1)

_LOGGER = logging.getLogger(__name__)


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

    @contextmanager
    def pinned(self, table: ReleaseTable, scope: TableScope) -> Iterator[tuple[Path, ...]]:
        """Paths of verified files that hold exactly `scope` of `table`, until the block ends.

        An extract that the store lost or that was altered there is built once more. A release's
        own files cannot be: for them, and for what is lost again, raises ObjectMissing and
        ObjectCorrupted; StoreUnavailable as the store does.
        """
        with ExitStack() as held:
            yield self._pin(held, table, scope)

    def _pin(self, held: ExitStack, table: ReleaseTable, scope: TableScope) -> tuple[Path, ...]:
        files = self.files_for(table, scope)
        try:
            return held.enter_context(self._cache.pinned(files))
        except (ObjectMissing, ObjectCorrupted) as error:
            if files == table.files:
                raise
            _LOGGER.warning("An extract is built again: %s", error.detail)
        key = _key(table, scope, self._resolve(table, scope))
        with self._database.writing() as connection:
            extract_records.drop_broken(connection, key, files, now=self._clock())
        return held.enter_context(self._cache.pinned(self.files_for(table, scope)))

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
            found = extract_records.find(connection, key)
        if found is None:
            return None
        if now - found.last_used_at > _NOTED_EVERY:
            with self._database.writing() as connection:
                extract_records.touch(connection, key, now=now)
        return found.files

    def _build(
        self, key: str, table: ReleaseTable, scope: TableScope, rows: ResolvedRows
    ) -> tuple[DataFile, ...]:
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="extract-") as folder:
            with self._cache.pinned(table.files) as paths:
                written = build_extract(
                    paths, columns=scope.columns, rows=rows, into=Path(folder), limits=self._limits
                )
            files = _of_a_build(key, written)
            with self._database.writing() as connection:
                extract_records.announce(connection, files, now=self._clock())
            for stored, local in zip(files, written, strict=True):
                self._store.put(stored.key, local.path)
        return self._keep(key, files)

    def _keep(self, key: str, files: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
        now = self._clock()
        try:
            with self._database.writing() as connection:
                extract_records.keep(connection, key, files, now=now)
        except IntegrityError:
            # Another node built the same extract first; its files serve, ours stay condemned.
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


def _of_a_build(key: str, written: tuple[WrittenFile, ...]) -> tuple[DataFile, ...]:
    """The files under keys that no other build of the same extract has."""
    build = uuid4().hex
    return tuple(
        DataFile(
            key=f"{extract_records.PREFIX}{key}/{build}/{file.sha256}.parquet",
            sha256=file.sha256,
            bytes=file.bytes,
            rows=file.rows,
        )
        for file in written
    )


def _key(table: ReleaseTable, scope: TableScope, rows: ResolvedRows) -> str:
    """One key for one content: the source files and the resolved scope, in canonical order."""
    facts = ([file.sha256 for file in table.files], scope.columns, rows)
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()
