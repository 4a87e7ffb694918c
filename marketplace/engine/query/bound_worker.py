"""One process for one view map, for life."""

from catalogue.errors import Problem
from marketplace.engine.limits import Limits
from marketplace.engine.process import Call, ConfinedProcess
from marketplace.engine.query.query_messages import Bind, Describe, Run, TableFiles, TableOutline
from marketplace.engine.query.view_map import BoundTable, OutlinedTable, ViewMap
from marketplace.errors import WorkerLost

_BIND_SECONDS = 30.0
_SHORT = 0.25  # processor seconds that any query may take before it is a long one
_WEARY = 3, 4  # the share of its memory at which a worker has too little left for another query


class BoundWorker:
    """A process bound to one view map."""

    def __init__(self, process: ConfinedProcess, views: ViewMap, limits: Limits) -> None:
        self.views = views
        self._process = process
        self._limits = limits
        self._used = False
        self._spent_before: float | None = None
        self._long_spent = 0.0
        self.yields = False
        self._confined_to = _identities(views)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def used(self) -> bool:
        """Whether a statement has run here."""
        return self._used

    def bind(self) -> None:
        """Confine the process to the files of the map, for good, and open its instance."""
        self._process.warm()
        files = [path for table in self.views for path in table.files]
        self._process.confine(read=files)
        for _ in self._process.call(_bind(self.views), deadline=_BIND_SECONDS):
            raise WorkerLost("A worker sent bytes where none belong.")
        if not self._process.settle():
            raise WorkerLost("A worker was not fit after it was bound.")

    def run(self, request: Run | Describe, deadline: float) -> Call:
        """Begin a statement; one at a time."""
        self._used = True
        return self._process.call(request, deadline=deadline)

    def fit(self) -> bool:
        """Whether another query may run here; waits until the worker has looked at itself."""
        if self._used and not self._process.settle():
            return False
        if self._confined_to != _identities(self.views):
            return False
        share, of = _WEARY
        return (
            self._process.alive
            and self._process.account.resident() * of < self._limits.memory * share
        )

    def rest(self) -> None:
        """Let go what only an answer on its way needs."""
        self._process.rest()

    def own_memory(self) -> int:
        """Bytes that ending it would free."""
        return self._process.account.own_memory()

    def begin_account(self) -> None:
        """Count what the process takes of the processors from here on."""
        self._spent_before = self._process.account.processor_seconds()
        self._long_spent = 0.0

    def end_account(self) -> float:
        """What `overspent` tells, the last time: what the process does from here on is its own."""
        seconds = self.overspent()
        self._spent_before = None
        return seconds

    def overspent(self) -> float:
        """Processor seconds beyond those of a short query, since this was last asked."""
        if self._spent_before is None:
            return 0.0
        spent = self._process.account.processor_seconds() - self._spent_before
        before, self._long_spent = self._long_spent, max(spent - _SHORT, self._long_spent)
        return self._long_spent - before

    def yield_to_others(self) -> None:
        """Let it have only the processors that nobody else wants, from now on."""
        if not self.yields:
            self.yields = True
            self._process.yield_to_others()

    def stop(self, reason: Problem) -> None:
        """Kill the process, from any thread; whoever waits for its answer is told the reason."""
        self._process.stop(reason)

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _bind(views: ViewMap) -> Bind:
    """A view map as it is told to a worker."""
    return Bind(
        tables=tuple(
            TableFiles(
                organisation=table.address.organisation,
                dataset=table.address.dataset,
                name=table.address.name,
                short=table.short,
                files=tuple(str(path.resolve()) for path in table.files),
            )
            for table in views
            if isinstance(table, BoundTable)
        ),
        outlines=tuple(
            TableOutline(
                organisation=table.address.organisation,
                dataset=table.address.dataset,
                name=table.address.name,
                columns=table.columns,
            )
            for table in views
            if isinstance(table, OutlinedTable)
        ),
    )


def _identities(views: ViewMap) -> list[tuple[int, int] | None]:
    """Which files the paths are now: the kernel's rules hold for files, not for their names, and a
    cache may have dropped one and fetched it again."""
    found: list[tuple[int, int] | None] = []
    for path in (path for table in views for path in table.files):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return found
