"""What the kernel tells of a process: its memory, and the time that it had a processor."""

import os
from contextlib import suppress
from typing import IO

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_LONGEST_TOLD = 4096  # bytes that the kernel tells of a process at once


class Account:
    """Of one process, kept open because it is read several times for each query."""

    def __init__(self, pid: int) -> None:
        self._memory_told = _told_of(pid, "statm")
        self._time_told = _told_of(pid, "stat")

    def resident(self) -> int:
        """Bytes of memory that the process holds now; 0 once it is gone."""
        return self._pages()[0] * _PAGE

    def own_memory(self) -> int:
        """Bytes that ending the process would free: without what it maps of files, its libraries
        above all, which processes share."""
        held, of_files = self._pages()
        return (held - of_files) * _PAGE

    def _pages(self) -> tuple[int, int]:
        """How many pages it holds, and how many of those are of files."""
        try:
            fields = os.pread(self._memory_told.fileno(), _LONGEST_TOLD, 0).split()
            return int(fields[1]), int(fields[2])
        except (OSError, ValueError, IndexError):  # gone, or closed by another thread
            return 0, 0

    def processor_seconds(self) -> float:
        """How long it has had a processor, on all threads together; 0 once it is gone."""
        try:
            told = os.pread(self._time_told.fileno(), _LONGEST_TOLD, 0)
            fields = told.rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
        except (OSError, ValueError, IndexError):  # gone, or closed by another thread
            return 0.0

    def close(self) -> None:
        """Ask no more."""
        for file in (self._memory_told, self._time_told):
            with suppress(OSError):
                file.close()


def _told_of(pid: int, what: str) -> IO[bytes]:
    return open(f"/proc/{pid}/{what}", "rb", buffering=0)  # noqa: PTH123 -- a descriptor
