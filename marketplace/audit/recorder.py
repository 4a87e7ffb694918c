"""Many readers, one flush: what is decided at the same time is recorded in one transaction.

A durable commit waits for the disk, and on SQLite for every other writer. So whoever comes while a
transaction is on its way waits in line, and the first of the line then takes the whole line along.
A lone caller never waits for company (decision 0011).
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from access_policies import revision
from marketplace.audit import entries
from marketplace.audit.entries import DraftEntry, Entry
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AuditUnavailable

Result = TypeVar("Result")

# So that one transaction does not hold its locks for long.
_LARGEST_GROUP = 256

# Closing entries that may wait; whoever comes after writes them before going on.
_MOST_OUTSTANDING = 1000

_LOGGER = logging.getLogger(__name__)


class Recording:
    """One transaction as a job sees it; it holds the policy revision, so that nobody can move it.

    Entries are written together when every job of the transaction has been done.
    """

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        self.revision = revision.lock_shared(connection)
        self._clock = clock
        self._drafts: list[DraftEntry] = []

    def record(self, entry: Entry) -> str:
        """Have an entry written, and return its id. Raises AuditUnavailable as `draft` does."""
        drafted = entries.draft(entry, now=self._clock())
        self._drafts.append(drafted)
        return drafted.id

    def write(self, outstanding: Sequence[DraftEntry]) -> None:
        """Write what was recorded here, after what was outstanding from before."""
        drafts = [*outstanding, *self._drafts]
        if drafts:
            entries.write(self.connection, drafts)


Job = Callable[[Recording], Result]
"""Reads, decides and records. It may be done twice, in two transactions of which one is kept."""


class Recorder:
    """Does jobs in transactions shared with whoever else waits. Safe to share between threads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._guard = Lock()
        self._line: list[_Waiting[Any]] = []
        self._led = False
        self._outstanding: list[DraftEntry] = []
        self._unsettled = 0
        self._closed = False

    def run(self, job: Job[Result]) -> Result:
        """Do a job, and return what it returned once the transaction is durable.

        Raises what the job raised; then nothing of it is kept, and others are not touched by it.
        Raises AuditUnavailable where the transaction could not begin or commit.
        """
        mine = _Waiting(job)
        with self._guard:
            self._line.append(mine)
            leads, self._led = not self._led, True
        if not leads:
            mine.turn.wait()
        if not mine.settled:
            self._lead()
        return mine.outcome()

    def later(self, entry: Entry) -> None:
        """Have an entry written with the next transaction, without waiting for it.

        `flush` waits for all of them; where that is called every second, none waits longer.
        """
        drafted = entries.draft(entry, now=self._clock())
        with self._guard:
            self._outstanding.append(drafted)
            self._unsettled += 1
            at_once = self._closed or self._unsettled > _MOST_OUTSTANDING
        if at_once:
            self.run(_nothing)

    def flush(self) -> None:
        """Return once everything that was left for later is durable. Raises AuditUnavailable."""
        with self._guard:
            if not self._unsettled:
                return
        self.run(_nothing)

    def close(self) -> None:
        """Flush, and from now on leave nothing for later."""
        with self._guard:
            self._closed = True
        self.flush()

    def _lead(self) -> None:
        """Commit the line as it stands, then let the next of those who came meanwhile lead."""
        with self._guard:
            group, self._line = self._line[:_LARGEST_GROUP], self._line[_LARGEST_GROUP:]
            outstanding, self._outstanding = self._outstanding, []
        left = outstanding
        try:
            left = self._commit(group, outstanding)
        finally:
            with self._guard:
                self._outstanding = [*left, *self._outstanding]
                self._unsettled = len(self._outstanding)
                successor = self._line[0] if self._line else None
                self._led = successor is not None
            if successor is not None:
                successor.turn.set()
            for one in group:
                one.settle()

    def _commit(
        self, group: Sequence["_Waiting[Any]"], outstanding: list[DraftEntry]
    ) -> list[DraftEntry]:
        """Do every job of the group; returns the outstanding entries that are still so."""
        try:
            self._together(group, outstanding)
        except _JobFailed as failed:
            if len(group) == 1:
                group[0].error = failed.error
                return outstanding
            # One that fails must not take the others along, so each gets a transaction of its own.
            for one in group:
                outstanding = self._commit([one], outstanding)
            return outstanding
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was recorded
            _LOGGER.error("A transaction of %d was lost: %s", len(group), type(error).__name__)
            for one in group:
                one.error = _unavailable(error)
            return outstanding
        return []

    def _together(
        self, group: Sequence["_Waiting[Any]"], outstanding: Sequence[DraftEntry]
    ) -> None:
        with self._database.writing() as connection:
            recording = Recording(connection, self._clock)
            results = [one.do(recording) for one in group]
            recording.write(outstanding)
        for one, result in zip(group, results, strict=True):
            one.error, one.result = None, result


class _JobFailed(Exception):
    """A job raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Waiting(Generic[Result]):
    """A job in line, and what became of it."""

    result: Result

    def __init__(self, job: Job[Result]) -> None:
        self._job = job
        self.turn = Event()
        self.settled = False
        # Stays where whoever led was interrupted.
        self.error: Exception | None = _unavailable(None)

    def do(self, recording: Recording) -> Result:
        try:
            return self._job(recording)
        except SQLAlchemyError as error:
            raise _JobFailed(_unavailable(error)) from error
        except Exception as error:
            raise _JobFailed(error) from error

    def settle(self) -> None:
        self.settled = True
        self.turn.set()

    def outcome(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.result


def _unavailable(cause: Exception | None) -> AuditUnavailable:
    problem = AuditUnavailable("The audit log could not be written.", next_step=entries.NEXT_STEP)
    problem.__cause__ = cause
    return problem


def _nothing(_: Recording) -> None:
    """A job that only takes along what is outstanding."""
