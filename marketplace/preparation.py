"""Extracts built before somebody waits for them: when something is agreed, and at a new release.

One thread builds one after the other, from a queue that has an end, beside the service's own work.
Nothing rests on it: what it does not build, the first query does. So whatever fails here is written
to the log and to no caller.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from queue import Full, Queue
from threading import Thread

from access_policies.scope import TableScope
from catalogue import releases
from catalogue.dataset import Release, ReleaseTable
from marketplace import enforcement
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.extracts import Extracts
from marketplace.sharing import agreements
from marketplace.sharing.agreements import Agreement

_LOGGER = logging.getLogger(__name__)

# How many agreements and releases may wait; what comes then is left to the first query.
_MOST_WAITING = 256

_RECENT = timedelta(days=30)

Wanted = tuple[ReleaseTable, TableScope]
Job = Callable[[], Iterator[Wanted]]


class Preparation:
    """Builds extracts in the background once it was started; before that it lets all pass by."""

    def __init__(self, *, database: Database, extracts: Extracts, clock: Clock) -> None:
        self._database = database
        self._extracts = extracts
        self._clock = clock
        self._jobs: Queue[Job | None] = Queue(_MOST_WAITING)
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to take jobs, with a warm process for the first of them."""
        if self._thread is None:
            self._extracts.start()
            self._thread = Thread(target=self._work, name="preparation", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop, after the extracts were closed: what was being built then ends at once."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        while not self._jobs.empty():
            self._jobs.get()
        self._jobs.put(None)
        thread.join()

    def agreed(self, agreement: Agreement) -> None:
        """Build what an agreement lets out of the newest release. Returns at once."""
        self._take(partial(self._of_agreement, agreement))

    def released(self, release: Release) -> None:
        """Build what agreements in recent use let out of a new release. Returns at once."""
        self._take(partial(self._of_release, release))

    def _take(self, job: Job) -> None:
        if self._thread is None:
            return
        try:
            self._jobs.put_nowait(job)
        except Full:
            _LOGGER.warning(
                "Too many extracts wait to be prepared; one is left to its first query."
            )

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                for table, scope in job():
                    self._extracts.files_for(table, scope, patient=True)
            except Exception as error:  # noqa: BLE001 -- the first query meets it again
                _LOGGER.warning("An extract was not prepared: %s", type(error).__name__)

    def _of_agreement(self, agreement: Agreement) -> Iterator[Wanted]:
        with self._database.reading() as connection:
            release = releases.latest(connection, agreement.dataset)
        if release is not None:
            yield from _served(agreement, release)

    def _of_release(self, release: Release) -> Iterator[Wanted]:
        if release.number == 1:
            return  # nothing can have been agreed of it yet
        with self._database.reading() as connection:
            active = agreements.active_over(connection, release.dataset, now=self._clock())
            before = releases.read(connection, release.dataset, release.number - 1)
        for agreement in active:
            if any(self._in_recent_use(*one) for one in _served(agreement, before)):
                yield from _served(agreement, release)

    def _in_recent_use(self, table: ReleaseTable, scope: TableScope) -> bool:
        used = self._extracts.last_used(table, scope)
        return used is not None and self._clock() - used < _RECENT


def _served(agreement: Agreement, release: Release) -> Iterator[Wanted]:
    """The tables of a release that an agreement can be served from."""
    for scope in agreement.terms.scope:
        table = release.table(scope.table)
        if table is not None and not enforcement.suspended_by(scope, table.schema):
            yield table, scope
