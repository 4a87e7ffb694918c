"""The pool of query workers: one view map each, for life.

A spare is a started process that holds no file yet. When a caller comes with a view map that no
idle worker is bound to, a spare is confined by the kernel to that map's files, opens its locked
DuckDB over them, and serves that map until it is the least recently used, is stopped, or is no
longer fit. No process ever sees the files of two maps.
"""

from pathlib import Path
from time import monotonic
from typing import Self

from marketplace.engine.limits import Limits, ResultLimit
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.descriptions import Described, Descriptions
from marketplace.engine.query.query_messages import Describe, Encoding, Parameters, Run
from marketplace.engine.query.result_stream import ResultStream
from marketplace.engine.query.statement import Statement, check_values
from marketplace.engine.query.statement_parser import StatementParser
from marketplace.engine.query.view_map import ViewMap, view_map
from marketplace.engine.query.worker_pool import WorkerPool
from marketplace.errors import WorkerLost


class QueryWorkers:
    """Parses statements and runs them. Safe to share between threads.

    At most `places` queries run at a time, and one caller has at most half of them, over whatever
    maps, so that there is room for others. A query that finds none free waits up to `patience`
    seconds for one, in a line of at most `most_waiting` that takes the callers in turn. Workers that
    nobody asks are kept warm while all together hold at most `memory` bytes, and `spares` more
    processes wait to be bound. `scratch` is a folder for private spill files.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        places: int,
        spares: int,
        scratch: Path,
        memory: int = 8 * 1024**3,
        most_waiting: int = 64,
        patience: float = 10.0,
    ) -> None:
        self._limits = limits
        self._patience = patience
        self._scratch = scratch
        self._pool = WorkerPool(
            limits,
            places=places,
            spares=spares,
            scratch=scratch,
            memory=memory,
            most_waiting=most_waiting,
        )
        self._parser = StatementParser(limits, scratch)
        self._descriptions = Descriptions()

    @property
    def confinement(self) -> str:
        """What the kernel holds a worker to, in words; empty before the first statement."""
        return self._parser.confinement

    def start(self) -> Self:
        """Start the processes ahead of the first statement.

        Raises ConfinementMissing where the limits require what this kernel does not have.
        """
        self._parser.start()
        self._pool.refill()
        return self

    def parse(self, sql: str) -> Statement:
        """Parse and check a statement in a worker that holds no file. Raises StatementRefused."""
        return self._parser.parse(sql)

    def run(
        self,
        views: ViewMap,
        sql: str,
        output: Encoding,
        *,
        deadline: float | None = None,
        caller: str = "",
        most: ResultLimit | None = None,
        cancellation: Cancellation | None = None,
        parameters: bytes | None = None,
    ) -> ResultStream:
        """Run a statement that `parse` let through over the tables of `views`, and nothing else.

        Waits for the first bytes of the result, so that an error before them is raised here:
        QueryFailed, QueryTimedOut, QueryTooLarge, WorkerLost, or ServiceBusy. `deadline` is in
        seconds of work, waiting for a worker included. `caller` is whoever the places are counted
        for; all that name none are one. A result over `most` ends with QueryTooLarge, before
        the bytes that pass it. Raises QueryStopped where `cancellation` says so before
        the first bytes. `parameters` is an Arrow IPC stream of one row, whose values are bound in
        the order of the statement's parameters.
        """
        most = most or ResultLimit()
        named = Parameters() if parameters is None else self._named(sql, parameters)
        request = Run(sql, output, most_rows=most.rows, parameters=named)
        return self._ask(views, request, deadline, caller, most, cancellation)

    def describe(
        self,
        views: ViewMap,
        sql: str,
        parameters: bytes | None = None,
        *,
        deadline: float | None = None,
        caller: str = "",
        cancellation: Cancellation | None = None,
    ) -> Described:
        """What a statement that `parse` let through would give, without running it.

        Parameters without values are taken as NULL, so that types which follow from a value may
        differ once there is one. Raises as `run` does.
        """
        views = view_map(views)
        known = self._descriptions.find(views, sql) if parameters is None else None
        if known is not None:
            return known
        named = self._named(sql, parameters)
        request = Describe(sql, named)
        with self._ask(views, request, deadline, caller, ResultLimit(), cancellation) as stream:
            described = Described(schema=b"".join(stream), parameters=len(named.names))
        if parameters is None:
            self._descriptions.keep(views, sql, described)
        return described

    def _named(self, sql: str, values: bytes | None) -> Parameters:
        statement = self.parse(sql)
        if values is not None:
            check_values(statement, values)
        return Parameters(statement.parameters, values)

    def _ask(
        self,
        views: ViewMap,
        request: Run | Describe,
        deadline: float | None,
        caller: str,
        most: ResultLimit,
        cancellation: Cancellation | None,
    ) -> ResultStream:
        cancellation = cancellation or Cancellation()
        until = monotonic() + (self._limits.deadline if deadline is None else deadline)
        worker = self._take(views, caller, until, cancellation)
        used = worker.used
        try:
            return self._begin(worker, request, most, until, cancellation)
        except WorkerLost:
            if not used:
                raise
        # It was killed while it was idle or as it was asked, and nothing of its answer was seen.
        worker = self._take(views, caller, until, cancellation, fresh=True)
        return self._begin(worker, request, most, until, cancellation)

    def _take(
        self,
        views: ViewMap,
        caller: str,
        until: float,
        cancellation: Cancellation,
        *,
        fresh: bool = False,
    ) -> BoundWorker:
        return self._pool.take(
            view_map(views),
            caller,
            patience=min(self._patience, until - monotonic()),
            cancellation=cancellation,
            fresh=fresh,
        )

    def _begin(
        self,
        worker: BoundWorker,
        request: Run | Describe,
        most: ResultLimit,
        until: float,
        cancellation: Cancellation,
    ) -> ResultStream:
        try:
            call = worker.run(request, max(until - monotonic(), 0.001))
        except BaseException:
            self._pool.give_back(worker, fit=False)
            raise
        stream = ResultStream(
            self._pool, worker, call, limits=self._limits, most=most, scratch=self._scratch
        )
        cancellation.attach(stream.stop)
        return stream.begin()

    def close(self) -> None:
        """End every process."""
        self._pool.close()
        self._parser.close()
