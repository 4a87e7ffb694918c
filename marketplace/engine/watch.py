"""One thread that kills what oversteps: every process that owes an answer is looked at."""

import logging
import threading
from time import monotonic
from typing import Protocol

from catalogue.errors import Problem
from marketplace.engine.limits import Limits
from marketplace.errors import QueryTimedOut

_log = logging.getLogger(__name__)
# Seconds after which a reader is late: since the last piece, and over all pieces together.
_LATE, _LATE_IN_ALL = 0.5, 5.0
_TICK = 0.05  # at two gigabytes a second a runaway query overshoots its memory by a tenth of one


class Budget:
    """The seconds that one answer may take, counted while its caller waits for the process.

    Time in which the process waits for a slow reader is not its fault; the limits' `stall` bounds
    it for each read, and `delivery` for all of them together.
    """

    def __init__(self, deadline: float, limits: Limits) -> None:
        self._deadline = deadline
        self._limits = limits
        self._spent = 0.0
        self._delivering = 0.0
        self._since = monotonic()
        self._waiting = True

    def wait(self) -> None:
        """The caller begins to wait for the process."""
        if not self._waiting:
            self._delivering += self._turn(waiting=True)

    def arrive(self) -> None:
        """Something came."""
        self._spent += self._turn(waiting=False)

    def overstepped(self) -> Problem | None:
        """Why the answer must end now, if it must."""
        running = monotonic() - self._since
        if self._waiting and self._spent + running > self._deadline:
            return QueryTimedOut(
                f"It did not finish within {round(self._deadline, 1):g} seconds and was stopped.",
                next_step="Ask for less: fewer rows, fewer joins, or an aggregate.",
            )
        if not self._waiting and running > self._limits.stall:
            return QueryTimedOut(
                f"The result was not read on for {self._limits.stall:g} seconds, so it was ended.",
                next_step="Read the result as it comes, or ask for less.",
            )
        if not self._waiting and self._delivering + running > self._limits.delivery:
            return QueryTimedOut(
                f"The result kept its worker waiting for its reader for {self._limits.delivery:g} "
                "seconds in all, so it was ended.",
                next_step="Read it over a faster connection, or ask for less.",
            )
        return None

    @property
    def lagging(self) -> bool:
        """Whether the process waits for a reader that does not keep up with it."""
        running = monotonic() - self._since
        late = running > _LATE or self._delivering + running > _LATE_IN_ALL
        return not self._waiting and late

    def _turn(self, *, waiting: bool) -> float:
        """Begin to wait for the other side; the seconds since the last turn.

        They are added up only after it: the watch looks at any moment and must not count them twice.
        """
        now = monotonic()
        passed, self._since = now - self._since, now
        self._waiting = waiting
        return passed


class Watched(Protocol):
    """What the watch looks at."""

    def check(self) -> None:
        """Stop yourself where a bound is overstepped."""
        ...


class Watch:
    """Looks at all guarded processes every 50 milliseconds, on one thread that starts when needed."""

    def __init__(self) -> None:
        self._guarded: set[Watched] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def guard(self, process: Watched) -> None:
        """Begin to look at it."""
        with self._changed:
            self._guarded.add(process)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
            self._changed.notify()

    def release(self, process: Watched) -> None:
        """Look at it no more."""
        with self._changed:
            self._guarded.discard(process)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            with self._changed:
                while not self._guarded:
                    self._changed.wait()
                guarded = tuple(self._guarded)
            for process in guarded:
                try:
                    process.check()
                except Exception:  # noqa: BLE001 -- without its thread no limit holds
                    _log.exception("A process could not be checked")
            pause.wait(_TICK)


WATCH = Watch()
