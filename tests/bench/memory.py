"""How much memory a process and all that descend from it hold."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import thread_time

from figure import Figure
from processes import family

# To look at a process the kernel walks all of its pages: milliseconds for each, more for large ones.
_SHARE_OF_A_PROCESSOR = 0.03
_LEAST_SECONDS = 0.1


@dataclass(kw_only=True)
class Memory:
    """Bytes, of all the processes together.

    `proportional` counts a page that n processes share as an nth of it in each (PSS), so once in the
    sum: it is what the machine has to have, and what ending all of them would free. That is held
    against a reach. `resident` counts such a page in each of them (RSS). Every process maps the same
    libraries, some 45 MB each time, so that sum grows with the number of processes where the
    memory that is taken does not; it is told because other tools tell it.
    """

    proportional: int = 0
    resident: int = 0


@contextmanager
def watching_memory(root: int) -> Iterator[Memory]:
    """The largest sums while the block runs, each by itself; they stand when it has ended.

    Looking takes a fixed small share of one processor, so the more there is to look at the rarer it
    is done, about twice a second for the service at rest; what is held for less may be missed.
    """
    peak = Memory()
    done = threading.Event()

    def watch() -> None:
        looked = 0.0
        while not done.wait(max(_LEAST_SECONDS, looked / _SHARE_OF_A_PROCESSOR)):
            began = thread_time()
            _raise(peak, memory_of(root))
            looked = thread_time() - began

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        _raise(peak, memory_of(root))


def memory_figures(
    part: str, peak: Memory, *, reach: float | None = None, towards: float | None = None
) -> list[Figure]:
    """Both sums; only the first is held against a reach."""
    held = Figure(
        what=f"{part}, peak memory of service and workers",
        measured=peak.proportional / 1e9,
        unit="GB",
        reach=reach,
        towards=towards,
    )
    summed = Figure(
        what=f"{part}, peak sum of their resident bytes", measured=peak.resident / 1e9, unit="GB"
    )
    return [held, summed]


def memory_of(root: int) -> Memory:
    """What a process and all that descend from it hold now."""
    held = [_rollup(pid) for pid in family(root)]
    return Memory(
        proportional=sum(each.proportional for each in held),
        resident=sum(each.resident for each in held),
    )


def _raise(peak: Memory, held: Memory) -> None:
    peak.proportional = max(peak.proportional, held.proportional)
    peak.resident = max(peak.resident, held.resident)


def _rollup(pid: int) -> Memory:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return Memory()
    kibibytes = {
        name: size.split()[0] for name, _, size in (line.partition(":") for line in lines[1:])
    }
    return Memory(
        proportional=int(kibibytes.get("Pss", 0)) * 1024,
        resident=int(kibibytes.get("Rss", 0)) * 1024,
    )
