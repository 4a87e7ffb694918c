"""Removing what nobody will read any more: files of publishes that came to nothing, idle extracts.

Nothing goes at the first look. A run condemns what is of no use now, and a later run, at least
the grace period after, removes it; so a slow reader keeps what it found, and a backup that takes
less than the grace period has every file that its database names (decision 0002).
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from catalogue import collect
from catalogue.condemned import Condemned
from catalogue.object_store import ObjectStore
from marketplace import extract_records
from marketplace.audit.entries import Entry, EntryKind, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import SettingInvalid
from marketplace.scratch import clear_abandoned

# Longer than any publish, query or build of an extract takes.
_SHORTEST = timedelta(days=1)


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """So many files with so many bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(files=self.files + other.files, bytes=self.bytes + other.bytes)


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    """What a run condemned and removed; after a dry run, what it would have.

    `abandoned` are files of publishes that never became a release, `extracts` those that nobody
    has read for the idle time or whose build was broken off, `scratch` what killed processes left.
    """

    dry_run: bool
    abandoned_condemned: Amount
    abandoned_removed: Amount
    extracts_condemned: Amount
    extracts_removed: Amount
    scratch_removed: Amount


class _Unused(Protocol):
    """What a module that owns a kind of file offers for removing it."""

    def due(
        self, connection: Connection, *, now: datetime, grace: timedelta
    ) -> tuple[Condemned, ...]: ...

    def sweep(
        self, connection: Connection, store: ObjectStore, *, now: datetime, grace: timedelta
    ) -> tuple[Condemned, ...]: ...


_KINDS: tuple[tuple[_Unused, str], ...] = (
    (collect, "abandoned publishes"),
    (extract_records, "unused extracts"),
)


class Housekeeping:
    """Keeps the store and the data folder from growing without end; for the operator to run."""

    def __init__(
        self, *, database: Database, store: ObjectStore, scratch: Path, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._scratch = scratch
        self._clock = clock

    def tidy(self, *, grace: timedelta, idle: timedelta, by: str, dry_run: bool = False) -> Tidied:
        """Remove what was condemned at least `grace` ago, and condemn what is of no use now.

        An extract is of no use once nobody has read it for `idle`; it is built again when needed.
        Every removal is in the audit log, as done by `by`. A dry run changes nothing. Safe beside
        a running service, and to break off and repeat. Raises SettingInvalid for times below a day.
        """
        if min(grace, idle) < _SHORTEST:
            raise SettingInvalid(
                "Files cannot be removed after less than a day: somebody may still use them.",
                next_step="Choose a grace period and an idle time of at least one day, and a "
                "grace period that is longer than a backup takes.",
            )
        now = self._clock()
        abandoned_removed, extracts_removed = (
            self._would_remove(kind, now, grace)
            if dry_run
            else self._remove(kind, now, grace, what=what, by=by)
            for kind, what in _KINDS
        )
        abandoned, extracts = self._condemn(now, grace, idle, dry_run)
        files, size = clear_abandoned(self._scratch, now=now, dry_run=dry_run)
        return Tidied(
            dry_run=dry_run,
            abandoned_condemned=abandoned,
            abandoned_removed=abandoned_removed,
            extracts_condemned=extracts,
            extracts_removed=extracts_removed,
            scratch_removed=Amount(files=files, bytes=size),
        )

    def _condemn(
        self, now: datetime, grace: timedelta, idle: timedelta, dry_run: bool
    ) -> tuple[Amount, Amount]:
        with self._database.writing() as connection:
            abandoned = collect.condemn(connection, self._store, now=now, grace=grace)
            extracts = extract_records.drop_idle(connection, now=now, idle=idle)
            if dry_run:
                connection.rollback()
        return _amount(abandoned), _amount(extracts)

    def _remove(
        self, kind: _Unused, now: datetime, grace: timedelta, *, what: str, by: str
    ) -> Amount:
        """Remove what is due, some in each transaction, until nothing is left."""
        total = Amount()
        while True:
            with self._database.writing() as connection:
                removed = _amount(kind.sweep(connection, self._store, now=now, grace=grace))
                if not removed.files:
                    return total
                entry = Entry(
                    kind=EntryKind.FILES_REMOVED,
                    facts={"what": what, "files": removed.files, "bytes": removed.bytes},
                    person={"by": by},
                )
                record(connection, entry, now=self._clock())
            total += removed

    def _would_remove(self, kind: _Unused, now: datetime, grace: timedelta) -> Amount:
        with self._database.writing() as connection:
            due = kind.due(connection, now=now, grace=grace)
            connection.rollback()
        return _amount(due)


def _amount(objects: Collection[Condemned]) -> Amount:
    return Amount(files=len(objects), bytes=sum(one.bytes for one in objects))
