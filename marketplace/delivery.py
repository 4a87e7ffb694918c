"""A result on its way to a reader: it ends when access ends, and its record is always closed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Protocol

from sqlalchemy import Connection

from access_policies import revision
from catalogue.errors import Problem
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.engine.query.result_stream import Take
from marketplace.errors import AccessEnded

# How long a running stream may go without looking at the policy revision again.
_LOOK_AGAIN_SECONDS = 0.25


class Watch:
    """Looks again, while a result is sent, whether the caller may still have it.

    `since` is the policy revision that the decision was made under, `decided_at` when that was
    (of `monotonic`), `until` the first moment at which time alone could change it, and
    `standing_until` asks the whole question again: until when it holds now, None where it does not.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        since: int,
        decided_at: float = float("-inf"),
        until: datetime,
        standing_until: Callable[[Connection], datetime | None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._revision = since
        self._until = until
        self._standing_until = standing_until
        self._looked_at = decided_at

    def look(self) -> None:
        """Raise AccessEnded where a boundary in time has passed or the policy now says no."""
        if self._clock() >= self._until:
            raise _ended("its last day has passed")
        if monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return
        self._looked_at = monotonic()
        with self._database.reading() as connection:
            current = revision.read(connection)
        if current == self._revision:
            return
        with self._database.writing() as connection:
            current = revision.lock_shared(connection)
            until = self._standing_until(connection)
            if until is None:
                raise _ended("it was revoked or changed")
        # A last day may have been moved, to either side.
        self._revision, self._until = current, until


class Stream(Protocol):
    """Encoded rows on their way. Iterating raises instead of ending where they are not whole.

    `relay` gives pieces to `take`, which does not keep them, until it leaves some of one, copies of
    which it returns; nothing is the end. `rows` are told at the end. `stop` and `close` may be called by another thread than the one that
    iterates, which is told the reason of a stop. `size` is how many
    bytes they are, once all of them are there.
    """

    @property
    def rows(self) -> int: ...

    @property
    def size(self) -> int | None: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def relay(self, take: Take) -> list[bytes]: ...

    def stop(self, reason: Problem) -> None: ...

    def close(self) -> None: ...


class Delivery:
    """The chunks of one encoded result, to be iterated once and closed whatever happens.

    Iterating raises instead of ending where the result is not whole: then abort the transport.
    `entry` is the audit entry of the decision, for which a receipt can be had; `access_ends` is the
    first moment at which time alone may end the access, as it was decided; `closing` writes the
    second entry with rows, bytes and outcome.
    """

    def __init__(
        self,
        result: Stream,
        watch: Watch,
        *,
        entry: str,
        releases: dict[str, int],
        access_ends: datetime,
        held: ExitStack,
        closing: Callable[[int, int, str], None],
    ) -> None:
        self.entry = entry
        self.releases = releases
        self.access_ends = access_ends
        self._result = result
        self._watch = watch
        self._held = held
        self._closing = closing
        self._outcome = "cut by the reader"
        self._sent = 0
        self._closed = False
        self._guard = Lock()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._result:
                self._watch.look()
                self._sent += len(chunk)
                yield chunk
            self._outcome = "complete"
        except Problem as problem:
            self._outcome = type(problem).__name__
            raise
        finally:
            self.close()

    def relay(self, take: Take) -> list[bytes]:
        """Give chunk after chunk to `take` while it leaves nothing; what it left of one, or nothing at
        the end. Goes on after that chunk when called again, and raises as iterating does.

        For whoever only sends them on: a chunk is of use until `take` returns.
        """

        def looked(chunk: bytes | memoryview) -> list[bytes]:
            self._watch.look()
            self._sent += len(chunk)
            return take(chunk)

        left: list[bytes] = []
        try:
            left = self._result.relay(looked)
            if not left:
                self._outcome = "complete"
        except Problem as problem:
            self._outcome = type(problem).__name__
            raise
        finally:
            if not left:
                self.close()
        return left

    def whole(self, most: int) -> bytes | None:
        """All of the result, and its record closed, where that is at most `most` bytes and there.

        None where it is to be iterated. Raises as iterating does.
        """
        size = self._result.size
        if size is None or size > most:
            return None
        return b"".join(self)

    def stop_if_ended(self) -> bool:
        """Look whether access still stands, end the result where it does not, and say so.

        For whoever watches a result from outside, because its reader may be slow: the one who
        iterates looks at every chunk, and is told AccessEnded at the next where it ended here.
        """
        try:
            self._watch.look()
        except Problem as ended:
            self._outcome = type(ended).__name__
            self._result.stop(ended)
            self.close()
            return True
        return False

    def close(self) -> None:
        """Stop the worker if it is not done, let the files go, and close the record.

        Idempotent, and safe to call from another thread than the one that iterates.
        """
        with self._guard:
            if self._closed:
                return
            self._closed = True
            # Whoever waits for a chunk is told something else by the end that this makes.
            outcome = self._outcome
        try:
            self._result.close()
        finally:
            self._held.close()
            self._closing(self._result.rows, self._sent, outcome)


def _ended(why: str) -> AccessEnded:
    return AccessEnded(
        f"Your access ended while the result was being sent: {why}. What arrived is not complete.",
        next_step="Ask the owner for an extension, then send the query again.",
    )
