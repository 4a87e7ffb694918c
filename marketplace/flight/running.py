"""Calls that wait, looked at from outside: a client that left, an access that ended.

pyarrow's handlers are asked for the next batch or wait in gRPC for a slow reader; neither can look
around meanwhile. One thread looks at all of them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any, Protocol

_log = logging.getLogger(__name__)

_EVERY_SECONDS = 0.25


class Watched(Protocol):
    """Something under way that can be ended from another thread."""

    def cancel(self) -> None:
        """End it, because its caller left or asked for it."""

    def check(self) -> None:
        """End it where access has ended."""


class _Running:
    """One call. gRPC frees its context when the call ends, so it is asked under the guard only."""

    def __init__(self, context: Any, work: Watched) -> None:
        self.work = work
        self.looked_past = False
        self._context = context
        self._guard = Lock()

    def cancelled(self) -> bool:
        with self._guard:
            return self._context is not None and bool(self._context.is_cancelled())

    def end(self) -> None:
        with self._guard:
            self._context = None


class Watch:
    """Looks at what runs, four times a second, from `start` to `close`.

    A call is first looked at when it has run for a look's time: most are over by then, and gRPC
    takes long to say whether a client left.
    """

    def __init__(self) -> None:
        self._running: set[_Running] = set()
        self._guard = Lock()
        self._closing = Event()
        self._thread = Thread(
            target=self._look_around, name="marketplace-flight-watch", daemon=True
        )

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and cancel what still runs."""
        self._closing.set()
        self._thread.join()
        for running in self._all():
            running.work.cancel()

    @contextmanager
    def over(self, context: Any, work: Watched) -> Iterator[None]:
        """Look at a call until the block ends, which must be before gRPC is done with it."""
        running = _Running(context, work)
        with self._guard:
            self._running.add(running)
        try:
            yield
        finally:
            running.end()
            with self._guard:
                self._running.discard(running)

    def _all(self) -> list[_Running]:
        with self._guard:
            return list(self._running)

    def _look_around(self) -> None:
        while not self._closing.wait(_EVERY_SECONDS):
            for running in self._all():
                try:
                    self._look_at(running)
                except Exception:  # noqa: BLE001 - the other calls must be looked at all the same
                    _log.exception("A running call could not be looked at")

    def _look_at(self, running: _Running) -> None:
        if not running.looked_past:
            running.looked_past = True
        elif running.cancelled():
            running.work.cancel()
        else:
            running.work.check()
