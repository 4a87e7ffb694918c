"""Journey 3 on one screen: SQL in, the rows and columns agreed out, every read provable.

statement checked in a worker -> one decision per dataset, recorded -> extracts -> a worker runs the
SQL unmodified -> bytes delivered while access lasts -> the record closed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import chain

from access_policies.vocabulary import Action
from marketplace import enforcement
from marketplace.delivery import Delivery
from marketplace.discovery import Discovery
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.query_messages import Encoding
from marketplace.engine.query.statement import Statement, check_values
from marketplace.engine.query.view_map import BoundTable, OutlinedTable, ViewMap, view_map
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryTooLarge, StatementRefused
from marketplace.extracts import Extracts
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import check_project
from marketplace.query.estimate import check_scan
from marketplace.query.permits import Permit, Permits, Reading
from marketplace.query.pruning import needed_files
from marketplace.query.told import Description, Told

# An empty table of twenty columns takes a worker about a millisecond to make.
_MOST_OUTLINES = 5000


class Querying:
    """Runs the one query pipeline that every exit uses."""

    def __init__(
        self,
        *,
        permits: Permits,
        extracts: Extracts,
        discovery: Discovery,
        workers: QueryWorkers,
        deadline: float,
        scan_limit: int,
    ) -> None:
        self._permits = permits
        self._extracts = extracts
        self._discovery = discovery
        self._workers = workers
        self._deadline = deadline
        self._scan_limit = scan_limit
        self._told = Told()

    def run(
        self,
        principal: Principal,
        sql: str,
        output: Encoding,
        *,
        project: str | None = None,
        cancellation: Cancellation | None = None,
        releases: Mapping[str, int] | None = None,
        parameters: bytes | None = None,
        action: Action = Action.QUERY,
    ) -> Delivery:
        """Answer one SELECT over the tables that the caller's agreements let out.

        `parameters` is an Arrow IPC stream of one row, bound in the order of the parameters.
        `releases` pins datasets by their address (`mhclg.homes`) to a release that was promised
        before; any other is read as it is newest. Returns once the first bytes are there. Raises
        WrongProject, StatementRefused, UnknownDataset (also for what the caller may not know of),
        AccessDenied, UnknownRelease, QueryFailed, QueryTimedOut, QueryTooLarge, ServiceBusy,
        QueryStopped where `cancellation` says so before.
        """
        check_project(principal, project)
        with self._refusal_recorded(principal, sql):
            statement = self._workers.parse(sql)
            check_values(statement, parameters)
        permit = self._permits.issue(
            principal, statement, releases=releases, action=action, parameters=parameters
        )
        with self._closed_on_error(permit) as held:
            result = self._workers.run(
                held.enter_context(self._shown(permit, statement, cancellation)),
                sql,
                output,
                deadline=self._deadline,
                caller=principal.person_id,
                cancellation=cancellation,
                parameters=parameters,
                most=enforcement.result_limit(read.decision for read in permit.readings),
            )
        return Delivery(
            result,
            self._permits.watch(permit),
            entry=permit.entry,
            releases=_releases(permit),
            access_ends=permit.until,
            held=held,
            closing=partial(self._permits.close, permit),
        )

    def preview(
        self,
        principal: Principal,
        table: Sequence[str],
        rows: int,
        output: Encoding,
        *,
        cancellation: Cancellation | None = None,
    ) -> Delivery:
        """The first rows of a table for whoever may preview it, in whatever order they lie.

        `table` is (organisation, dataset) or (organisation, dataset, table). Raises as `run` does.
        """
        named = ".".join('"' + part.replace('"', '""') + '"' for part in table)
        sql = f"SELECT * FROM {named} LIMIT {rows:d}"  # noqa: S608 - each part is quoted
        return self.run(principal, sql, output, cancellation=cancellation, action=Action.PREVIEW)

    def describe(
        self,
        principal: Principal,
        sql: str,
        *,
        project: str | None = None,
        cancellation: Cancellation | None = None,
        parameters: bytes | None = None,
    ) -> Description:
        """What `run` would answer with, without a row; decided and recorded as a query is.

        Whoever asks the same again within a minute, while nothing has changed, is told the same
        again, under the entry that stands for the first time (decision 0016).

        Without `parameters` each is taken as NULL: a type that follows from a value may differ once
        there is one. Raises as `run` does.
        """
        check_project(principal, project)
        if parameters is None:
            revision, now = self._permits.standing()
            told = self._told.find(principal.token_id, sql, revision=revision, now=now)
            if told is not None:
                return told
        return self._described(principal, sql, cancellation, parameters)

    def _described(
        self,
        principal: Principal,
        sql: str,
        cancellation: Cancellation | None,
        parameters: bytes | None,
    ) -> Description:
        with self._refusal_recorded(principal, sql):
            statement = self._workers.parse(sql)
            if parameters is not None:
                check_values(statement, parameters)
        permit = self._permits.issue(principal, statement, parameters=parameters)
        with self._closed_on_error(permit) as held, held:
            described = self._workers.describe(
                held.enter_context(self._shown(permit, statement, cancellation)),
                sql,
                parameters,
                deadline=self._deadline,
                caller=principal.person_id,
                cancellation=cancellation,
            )
        self._permits.close(permit, 0, len(described.schema), "described")
        description = Description(
            schema=described.schema,
            parameters=described.parameters,
            entry=permit.entry,
            releases=_releases(permit),
        )
        # What tables there are is another look, of the catalogue, with an entry of its own.
        if parameters is None and not statement.of_catalogue:
            self._told.keep(permit, sql, description)
        return description

    @contextmanager
    def _refusal_recorded(self, principal: Principal, sql: str) -> Iterator[None]:
        try:
            yield
        except StatementRefused as refusal:
            self._permits.refuse(principal, sql, refusal)
            raise

    @contextmanager
    def _closed_on_error(self, permit: Permit) -> Iterator[ExitStack]:
        """A stack for what is held while a worker is asked; let go, and recorded, where that fails."""
        held = ExitStack()
        try:
            yield held
        except BaseException as error:
            held.close()
            self._permits.close(permit, 0, 0, type(error).__name__)
            raise

    def _shown(
        self, permit: Permit, statement: Statement, cancellation: Cancellation | None
    ) -> AbstractContextManager[ViewMap]:
        """What a worker shows for the statement: the tables that it reads, or what tables there are."""
        if statement.of_catalogue:
            return nullcontext(self._outlines(permit.principal))
        return self._views(permit.readings, statement, cancellation)

    def _outlines(self, principal: Principal) -> ViewMap:
        """Every table that the caller may know of, without a row; recorded as any look at the catalogue."""
        known = self._discovery.tables(principal, lambda _: True)
        if len(known) > _MOST_OUTLINES:
            raise QueryTooLarge(
                f"There are {len(known)} tables that you may know of; SQL lists {_MOST_OUTLINES}.",
                next_step="Search the catalogue with: marketplace datasets WORDS.",
            )
        return view_map(
            tuple(
                OutlinedTable(
                    table.address, tuple((column.name, column.type) for column in table.columns)
                )
                for table in known
            )
        )

    @contextmanager
    def _views(
        self,
        readings: tuple[Reading, ...],
        statement: Statement,
        cancellation: Cancellation | None,
    ) -> Iterator[ViewMap]:
        """The caller's tables as files in the cache, held there until the block ends.

        Files that can hold no row for the result are left out where some would have to be fetched.
        Where all are there already they stay: another statement can then use the same worker.
        """
        files = [
            self._extracts.files_for(read.table, read.scope, cancellation=cancellation)
            for read in readings
        ]
        needed = needed_files(statement, readings, files)
        check_scan(chain.from_iterable(needed), self._scan_limit)
        if not self._extracts.at_hand(chain.from_iterable(files)):
            files = needed
        with ExitStack() as stack:
            tables = []
            for read, chosen in zip(readings, files, strict=True):
                paths = self._extracts.pinned(read.table, read.scope, files=chosen)
                tables.append(
                    BoundTable(
                        address=read.release.dataset.table(read.table.name),
                        short=len(read.release.tables) == 1,
                        files=stack.enter_context(paths),
                    )
                )
            yield view_map(tuple(tables))


def _releases(permit: Permit) -> dict[str, int]:
    return {str(read.release.dataset): read.release.number for read in permit.readings}
