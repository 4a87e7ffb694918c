"""Stopping a query from outside, wherever it is: waiting for its turn, for files, or for bytes."""

from collections.abc import Callable
from threading import Lock

from catalogue.errors import Problem
from marketplace.errors import QueryStopped


class Cancellation:
    """Given to work when it begins; `cancel` stops that work at once, from any thread."""

    def __init__(self) -> None:
        self._stop: Callable[[Problem], None] | None = None
        self._cancelled = False
        self._guard = Lock()

    def cancel(self) -> None:
        """Let the work end with QueryStopped, also where it has yet to come to a worker."""
        with self._guard:
            self._cancelled = True
            stop = self._stop
        if stop is not None:
            stop(_stopped())

    def attach(self, stop: Callable[[Problem], None]) -> None:
        """Say how the work is stopped from now on; that is done here if it was cancelled before.

        What waits attaches something that wakes it, and asks `check` when it is awake.
        """
        with self._guard:
            self._stop = stop
            cancelled = self._cancelled
        if cancelled:
            stop(_stopped())

    def detach(self) -> None:
        """Say that what was attached is to be stopped no more; what is attached next may be."""
        with self._guard:
            self._stop = None

    def check(self) -> None:
        """Raise QueryStopped where the work was cancelled."""
        if self._cancelled:
            raise _stopped()


def _stopped() -> QueryStopped:
    return QueryStopped("The caller left before the result was there.")
