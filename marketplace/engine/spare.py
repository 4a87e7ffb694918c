"""A process that is started before there is work for it, because to start one takes a while."""

from pathlib import Path
from threading import Lock

from catalogue.errors import Problem
from marketplace.engine.limits import Limits
from marketplace.engine.process import ConfinedProcess
from marketplace.engine.roles import Role
from marketplace.errors import WorkerLost


class Spare:
    """At most one process of a role that waits for its work; who takes it must close it.

    Safe to share between threads. Close it, also where `start` was never called.
    """

    def __init__(self, role: Role, limits: Limits, *, scratch: Path) -> None:
        self._role = role
        self._limits = limits
        self._scratch = scratch
        self._guard = Lock()
        self._process: ConfinedProcess | None = None
        self._closed = False

    def start(self) -> None:
        """Start it, unless there is one. Returns at once."""
        with self._guard:
            if self._process is None and not self._closed:
                self._process = self._started()

    def take(self) -> ConfinedProcess:
        """The process, or a new one where it is gone; `warm` waits for either. Raises WorkerLost."""
        with self._guard:
            if self._closed:
                raise stopping()
            spare, self._process = self._process, None
        if spare is None:
            return self._started()
        if spare.alive:
            return spare
        spare.close()
        return self._started()

    def close(self) -> None:
        """Stop it, and start none any more."""
        with self._guard:
            self._closed = True
            spare, self._process = self._process, None
        if spare is not None:
            spare.close()

    def _started(self) -> ConfinedProcess:
        return ConfinedProcess.start(self._role, self._limits, scratch=self._scratch)


def stopping() -> Problem:
    """Why there is no process any more."""
    return WorkerLost("The service is stopping.", next_step="Try again in a moment.")
