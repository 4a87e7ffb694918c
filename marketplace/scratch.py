"""Files on their way: a folder of its own for each process that serves, gone when it ends.

A process that is killed leaves its folder behind. The kernel holds a lock on the folder for as
long as its process lives and drops it with the process, however that ends; so whoever can take
the lock knows that nobody uses the folder, where a process number or an age would only guess.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

# A folder this young may belong to a process that has yet to lock it.
_LONG_ENOUGH = timedelta(days=1)


class Scratch:
    """This process's own folder below `above`, which must be on a local file system."""

    def __init__(self, above: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="process-", dir=above))
        self._handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._handle)


def clear_abandoned(above: Path, *, now: datetime, dry_run: bool) -> tuple[int, int]:
    """Remove folders below `above` of processes that are dead, and untouched for a day.

    Returns how many files were in them and their bytes. With `dry_run` they stay. A folder that
    cannot be removed whole is left for the next time.
    """
    count = size = 0
    for folder in _old_folders(above, now - _LONG_ENOUGH):
        with _locked(folder) as nobody_uses_it:
            if not nobody_uses_it:
                continue
            sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]
            count, size = count + len(sizes), size + sum(sizes)
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
    return count, size


def _old_folders(above: Path, before: datetime) -> Iterator[Path]:
    if not above.is_dir():
        return
    for entry in sorted(above.iterdir()):
        # One that ends while we look is no error.
        with suppress(FileNotFoundError):
            old = entry.lstat().st_mtime < before.timestamp()
            if old and entry.is_dir() and not entry.is_symlink():
                yield entry


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether the folder's lock could be taken; it is held until the block ends."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
