"""How much memory a process and all that descend from it hold."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import family

_EVERY_SECONDS = 0.1


@contextmanager
def watching_memory(root: int) -> Iterator[list[int]]:
    """The largest sum of resident bytes while the block runs, as the only item of a list.

    Pages that processes share count in each of them, so this is rather too much than too little.
    """
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY_SECONDS):
            peak[0] = max(peak[0], sum(map(_resident, family(root))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
