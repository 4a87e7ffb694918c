"""Bytes on their way from a worker that is done sooner to a reader that takes longer."""

import os
import tempfile
from pathlib import Path
from threading import Condition

from catalogue.errors import Problem
from marketplace.engine.frames import CHUNK


class Spool:
    """A queue of bytes in a file without a name, which holds at most `capacity` of them at a time.

    One thread writes and one reads; each waits for the other. `fail` ends both, from any thread.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 -- see leave
        self._capacity = capacity
        self._written = 0
        self._read = 0
        self._ended = False
        self._failure: Problem | None = None
        self._sides = 2
        self._changed = Condition()

    def write(self, piece: bytes) -> None:
        """Append bytes; waits until there is room. Raises what it failed with."""
        rest = memoryview(piece)
        while rest:
            with self._changed:
                self._changed.wait_for(lambda: self._failure or self._room())
                self._raise_failure()
                place = self._written % self._capacity
                part = rest[: min(self._room(), self._capacity - place)]
            taken = os.pwrite(self._file.fileno(), part, place)
            rest = rest[taken:]
            with self._changed:
                self._written += taken
                self._changed.notify_all()

    def end(self) -> None:
        """Nothing comes after what was written."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, reason: Problem) -> None:
        """Let both sides raise the first reason; what waits to be read is lost."""
        with self._changed:
            self._failure = self._failure or reason
            self._changed.notify_all()

    def read(self) -> bytes | None:
        """The next bytes, or None at the end; waits for them. Raises what it failed with."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or self._ended or self._written > self._read
            )
            self._raise_failure()
            place = self._read % self._capacity
            size = min(self._written - self._read, self._capacity - place, CHUNK)
        if size == 0:
            return None
        piece = os.pread(self._file.fileno(), size, place)
        with self._changed:
            self._read += len(piece)
            self._changed.notify_all()
        return piece

    def leave(self) -> None:
        """Each side says so when it is done; the file goes with the second."""
        with self._changed:
            self._sides -= 1
            if self._sides == 0:
                self._file.close()

    def _room(self) -> int:
        return self._capacity - (self._written - self._read)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
