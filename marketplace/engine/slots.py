"""Memory that a confined process and its parent share, for the large pieces of an answer.

A pipe allocates, charges, copies and frees every page that goes through it: more than half of what
it cost to hand a result over. So the process writes a large piece into one of a few slots and
sends its number; whoever has read the piece gives the slot back. The same pages are used again and
stay in the processor's cache.

The process may change what it has written at any moment, so `Slots.view` is only for what is relayed as
it is: whoever looks into the bytes copies them first (`ResultStream`).
"""

import fcntl
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock

SLOT = 8 * 1024**2
"""Bytes of one slot: it holds the largest frame."""

_COUNT = 3  # one is written, one is read, one waits
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Slots:
    """The parent's side. Safe to share between threads."""

    def __init__(self) -> None:
        memory = os.memfd_create("answer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, SLOT * _COUNT)
        # The process cannot cut off memory that is read here, which would end this process.
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        self._shared = mmap.mmap(memory, SLOT * _COUNT)
        heard, giving = os.pipe()
        os.set_blocking(giving, False)  # a process that does not listen keeps nobody
        self.inherited = (memory, heard)
        self._giving = giving
        self._held: set[int] = set()
        self._used: set[int] = set()
        self._guard = Lock()
        self._closed = False

    def take(self, slot: int, size: int) -> bool:
        """Hold what the process says that it has written; False where that cannot be."""
        with self._guard:
            if not (0 <= slot < _COUNT and 0 < size <= SLOT) or slot in self._held or self._closed:
                return False
            self._held.add(slot)
            self._used.add(slot)
            return True

    def view(self, slot: int, size: int) -> memoryview:
        """The bytes of a held slot where they lie; of use until it is given back."""
        return memoryview(self._shared)[slot * SLOT : slot * SLOT + size]

    def give_back(self, slot: int) -> None:
        """Let the process write there again."""
        with self._guard:
            self._held.discard(slot)
            if not self._closed:
                with suppress(OSError):  # the process is gone
                    os.write(self._giving, bytes((slot,)))

    def rest(self) -> None:
        """Let the pages go that an answer has used: who waits for the next needs none."""
        with self._guard:
            for slot in () if self._closed else self._used - self._held:
                self._shared.madvise(mmap.MADV_REMOVE, slot * SLOT, SLOT)
            self._used &= self._held

    def close(self) -> None:
        """Give nothing back any more. The memory goes with the last view of it."""
        with self._guard:
            if not self._closed:
                self._closed = True
                os.close(self._giving)
                with suppress(BufferError):  # somebody still has a view
                    self._shared.close()


class WritableSlots:
    """The confined side; it waits where its parent still holds all of them."""

    def __init__(self, memory: int, given_back: int) -> None:
        self._view = memoryview(mmap.mmap(memory, SLOT * _COUNT))
        os.close(memory)
        self._given_back = given_back
        self._free = list(range(_COUNT))

    def write(self, pieces: Sequence[memoryview]) -> int:
        """Put pieces of a slot's size together at most into one, and return its number.

        Raises BrokenPipeError where the parent is gone.
        """
        if not self._free:
            self._free += os.read(self._given_back, _COUNT)
        if not self._free:
            raise BrokenPipeError
        slot = self._free.pop()
        place = slot * SLOT
        for piece in pieces:
            self._view[place : place + len(piece)] = piece
            place += len(piece)
        return slot
