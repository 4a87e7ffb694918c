"""Locks on files between the processes of one machine; the kernel drops them with their process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def hold(path: Path) -> int:
    """Open a plain file under a shared lock, so that `unlink_unheld` leaves it; returns the handle.

    The handle is the caller's to close. Raises FileNotFoundError also where the name has come to
    stand for another file meanwhile, and OSError for a link.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        if not _names(path, handle):
            raise FileNotFoundError(path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def unlink_unheld(path: Path) -> bool:
    """Remove a file unless somebody holds it; returns whether it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _names(path, handle):
            path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def alone(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the one lock of a name until the block ends; yields whether it could be taken.

    The file that carries the lock is made for it and goes with it.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Whoever had it before has removed the file; then the lock is one on nothing.
            if not _names(path, handle):
                os.close(handle)
                continue
        except BlockingIOError:
            os.close(handle)
            yield False
            return
        except BaseException:
            os.close(handle)
            raise
        break
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _names(path: Path, handle: int) -> bool:
    """Whether the path stands for the open file."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    opened = os.fstat(handle)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
