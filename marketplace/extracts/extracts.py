"""Finds the files that serve a scope, and builds them once where they are not there yet.

An extract is keyed by the content it comes from and its plan, and shared by all agreements with
that key. A scope that is the whole table needs none: the release's own files serve it.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy.exc import IntegrityError

from access_policies.scope import TableScope
from catalogue.dataset import DataFile, ReleaseTable
from catalogue.errors import ObjectCorrupted, ObjectMissing
from catalogue.object_store import ObjectStore
from catalogue.places import Places
from connectors.verified_cache import VerifiedCache
from marketplace import extract_records
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.engine.extract.build import ExtractBuilder
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.written_file import WrittenFile
from marketplace.extracts.building import Builds, Files, Report
from marketplace.extracts.masking_keys import MaskingKeys
from marketplace.extracts.plan import ExtractPlan, plan_for

# How exactly it is known when an extract was last read; a write for each query would be dear.
_NOTED_EVERY = timedelta(hours=1)

_LOGGER = logging.getLogger(__name__)


class Extracts:
    """The files of every scope that anybody may read. Close it before the cache's folder goes."""

    def __init__(
        self,
        *,
        database: Database,
        store: ObjectStore,
        cache: VerifiedCache,
        places: Places,
        keys: MaskingKeys,
        builder: ExtractBuilder,
        scratch: Path,
        locks: Path,
        patience: float,
        clock: Clock,
    ) -> None:
        self._database = database
        self._store = store
        self._cache = cache
        self._places = places
        self._keys = keys
        self._builder = builder
        self._scratch = scratch
        self._patience = patience
        self._clock = clock
        self._builds = Builds(self._find_or_build, locks=locks)

    def start(self) -> None:
        """Keep a process warm for the next extract. Returns at once."""
        self._builder.start()

    def close(self) -> None:
        """Stop what is being built; whoever waits for it is told to come again."""
        self._builder.close()
        self._builds.close()

    @contextmanager
    def pinned(
        self, table: ReleaseTable, scope: TableScope, *, files: Files | None = None
    ) -> Iterator[tuple[Path, ...]]:
        """Paths of verified files that hold exactly `scope` of `table`, until the block ends.

        `files` are what `files_for` has said that they are, where it was asked before.
        An extract that the store lost or that was altered there is built once more. A release's
        own files cannot be: for them, and for what is lost again, raises ObjectMissing and
        ObjectCorrupted; StoreUnavailable as the store does, and as `files_for`.
        """
        with ExitStack() as held:
            yield self._pin(held, table, scope, files or self.files_for(table, scope))

    def at_hand(self, files: Iterable[DataFile]) -> bool:
        """Whether all of these files are in the cache, as far as can be told without looking."""
        return self._cache.has(files)

    def _pin(
        self, held: ExitStack, table: ReleaseTable, scope: TableScope, files: Files
    ) -> tuple[Path, ...]:
        try:
            return held.enter_context(self._cache.pinned(files))
        except (ObjectMissing, ObjectCorrupted) as error:
            plan = self.plan(table, scope)
            if plan is None:
                raise
            _LOGGER.warning("An extract is built again: %s", error.detail)
        with self._database.writing() as connection:
            extract_records.drop_broken(connection, plan.key, files, now=self._clock())
        return held.enter_context(self._cache.pinned(self.files_for(table, scope)))

    def files_for(
        self,
        table: ReleaseTable,
        scope: TableScope,
        *,
        patient: bool = False,
        cancellation: Cancellation | None = None,
    ) -> tuple[DataFile, ...]:
        """The files that hold exactly `scope` of `table`, built and kept if need be.

        Raises ExtractNotReady where that takes longer than a query may (not who is `patient`),
        QueryStopped where `cancellation` says so meanwhile, and AccessDenied where the scope cannot
        be held to the table.
        """
        plan = self.plan(table, scope)
        if plan is None:
            return table.files
        found = self._find(plan)
        if found is not None:
            return found
        return self._builds.wait_for(
            plan, patience=None if patient else self._patience, cancellation=cancellation
        )

    def plan(self, table: ReleaseTable, scope: TableScope) -> ExtractPlan | None:
        """What a scope comes to; None where the table's own files serve it."""
        return plan_for(table, scope, self._places, self._keys)

    def last_used(self, table: ReleaseTable, scope: TableScope) -> datetime | None:
        """When somebody last read the extract of a scope; None where there is none."""
        plan = self.plan(table, scope)
        if plan is None:
            return None
        with self._database.reading() as connection:
            found = extract_records.find(connection, plan.key)
        return None if found is None else found.last_used_at

    def _find(self, plan: ExtractPlan) -> Files | None:
        now = self._clock()
        with self._database.reading() as connection:
            found = extract_records.find(connection, plan.key)
        if found is None:
            return None
        if now - found.last_used_at > _NOTED_EVERY:
            with self._database.writing() as connection:
                extract_records.touch(connection, plan.key, now=now)
        return found.files

    def _find_or_build(self, plan: ExtractPlan, report: Report) -> Files:
        return self._find(plan) or self._built(plan, report)

    def _built(self, plan: ExtractPlan, report: Report) -> Files:
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="extract-") as folder:
            with self._cache.pinned(plan.files) as paths:
                written = self._builder.build(
                    paths,
                    columns=plan.columns,
                    conditions=plan.conditions,
                    into=Path(folder),
                    report=report,
                )
            files = _of_a_build(written)
            with self._database.writing() as connection:
                extract_records.announce(connection, files, now=self._clock())
            for stored, local in zip(files, written, strict=True):
                self._store.put(stored.key, local.path)
        return self._kept(plan, files)

    def _kept(self, plan: ExtractPlan, files: Files) -> Files:
        now = self._clock()
        try:
            with self._database.writing() as connection:
                extract_records.keep(connection, plan.key, files, now=now)
        except IntegrityError:
            # Another node built the same extract first; its files serve, ours stay condemned.
            winner = self._find(plan)
            if winner is None:
                raise ObjectMissing(
                    "An extract was built twice and dropped at the same moment.",
                    next_step="Send the query again.",
                ) from None
            return winner
        return files


def _of_a_build(written: tuple[WrittenFile, ...]) -> Files:
    """The files under names that no other build has, and that tell only of their content."""
    build = uuid4().hex
    return tuple(
        DataFile(
            key=f"{extract_records.PREFIX}{build}/{file.sha256}.parquet",
            sha256=file.sha256,
            bytes=file.bytes,
            rows=file.rows,
        )
        for file in written
    )
