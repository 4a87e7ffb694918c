"""Journey 3 on one screen: SQL in, the rows and columns agreed out, every read provable.

statement checked in a worker -> one decision per dataset, recorded -> extracts -> a worker runs the
SQL unmodified -> bytes delivered while access lasts -> the record closed.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.delivery import Delivery, Watch
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.query_messages import Encoding
from marketplace.engine.query.statement import Statement
from marketplace.engine.query.view_map import BoundTable, ViewMap, view_map
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import StatementRefused
from marketplace.extracts import Extracts
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import check_project
from marketplace.query.permits import Permit, Permits, Reading


class Querying:
    """Runs the one query pipeline that every exit uses."""

    def __init__(
        self,
        *,
        database: Database,
        permits: Permits,
        extracts: Extracts,
        workers: QueryWorkers,
        clock: Clock,
        deadline: float,
    ) -> None:
        self._database = database
        self._permits = permits
        self._extracts = extracts
        self._workers = workers
        self._clock = clock
        self._deadline = deadline

    def run(
        self,
        principal: Principal,
        sql: str,
        output: Encoding,
        *,
        project: str | None = None,
        cancellation: Cancellation | None = None,
        releases: Mapping[str, int] | None = None,
    ) -> Delivery:
        """Answer one SELECT over the tables that the caller's agreements let out.

        `releases` pins datasets by their address (`mhclg.homes`) to a release that was promised
        before; any other is read as it is newest. Returns once the first bytes are there. Raises
        WrongProject, StatementRefused, UnknownDataset (also for what the caller may not know of),
        AccessDenied, UnknownRelease, QueryFailed, QueryTimedOut, QueryTooLarge, ServiceBusy,
        QueryStopped where `cancellation` says so before.
        """
        check_project(principal, project)
        permit = self._permits.issue(principal, self._check(principal, sql), releases=releases)
        held = ExitStack()
        try:
            views = held.enter_context(self._views(permit.readings))
            result = self._workers.run(
                views,
                sql,
                output,
                deadline=self._deadline,
                caller=principal.person_id,
                cancellation=cancellation,
            )
        except BaseException as error:
            held.close()
            self._permits.close(permit, 0, 0, type(error).__name__)
            raise
        return Delivery(
            result,
            self._watch(permit),
            entry=permit.entry,
            releases={str(read.release.dataset): read.release.number for read in permit.readings},
            held=held,
            closing=partial(self._permits.close, permit),
        )

    def _check(self, principal: Principal, sql: str) -> Statement:
        try:
            return self._workers.parse(sql)
        except StatementRefused as refusal:
            self._permits.refuse(principal, sql, refusal)
            raise

    @contextmanager
    def _views(self, readings: tuple[Reading, ...]) -> Iterator[ViewMap]:
        """The caller's tables as files in the cache, held there until the block ends."""
        with ExitStack() as stack:
            tables = []
            for read in readings:
                paths = self._extracts.pinned(read.table, read.scope)
                tables.append(
                    BoundTable(
                        address=read.release.dataset.table(read.table.name),
                        short=len(read.release.tables) == 1,
                        files=stack.enter_context(paths),
                    )
                )
            yield view_map(tuple(tables))

    def _watch(self, permit: Permit) -> Watch:
        boundaries = [permit.principal.valid_until]
        boundaries += [r.decision.until for r in permit.readings if r.decision.until is not None]
        return Watch(
            self._database,
            self._clock,
            since=permit.revision,
            until=min(boundaries),
            still_stands=partial(self._permits.still_stand, permit),
        )
