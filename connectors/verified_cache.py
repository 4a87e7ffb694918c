"""Local copies of stored files that are exactly what their manifest promised.

Readers of Parquet often turn altered bytes into wrong values without an error, so nothing reads an
object as it comes from a store: it is fetched once to a file named by its SHA-256, compared with
the manifest, made read-only, and only then handed out.
"""

import errno
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from weakref import WeakValueDictionary

from catalogue.dataset import DataFile
from catalogue.errors import ObjectCorrupted
from catalogue.object_store import ObjectStore
from connectors.disk import disk_errors
from connectors.file_lock import alone, hold, unlink_unheld

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".parquet"
_COPY = re.compile(_DIGEST.pattern + re.escape(_SUFFIX))
_REFUSED = "The cache folder refused"


@dataclass(frozen=True, slots=True)
class _Seal:
    """What the file system says of a file; any write to the file changes at least one of these."""

    inode: int
    bytes: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "_Seal":
        status = path.lstat()
        if not S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a plain file")
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(slots=True)
class _Hold:
    """The handle by which this process holds a copy, and how many of its readers do."""

    handle: int
    readers: int


class VerifiedCache:
    """Verified copies in one folder, for the threads of a process and beside other processes.

    A file that is there from an earlier run or from another process, or that changed since it was
    verified, is verified again before it is handed out. Beyond `limit_bytes` the files that this
    process used least recently are removed; one that any process has pinned never is, even where
    the limit is passed for a while. The folder must be on a local file system.
    """

    def __init__(self, store: ObjectStore, directory: Path, limit_bytes: int) -> None:
        self._store = store
        self._directory = directory
        self._incoming = directory / "incoming"
        self._limit = limit_bytes
        self._guard = Lock()
        self._begun = False
        # What is in the folder, in bytes, the least recently used first.
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._seals: dict[str, _Seal] = {}
        self._holds: dict[str, _Hold] = {}
        self._turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    @contextmanager
    def pinned(self, files: Iterable[DataFile]) -> Iterator[tuple[Path, ...]]:
        """Paths of verified copies, in the order of `files`, that stay until the block ends.

        Raises ObjectCorrupted where the store gives other bytes than the manifest names, and
        ObjectMissing and StoreUnavailable as the store does.
        """
        with self._guard, disk_errors(_REFUSED):
            self._begin()
        pinned: list[str] = []
        try:
            paths = []
            for file in files:
                paths.append(self._obtain(file))
                pinned.append(file.sha256)
            yield tuple(paths)
        finally:
            with self._guard, disk_errors(_REFUSED):
                for digest in pinned:
                    self._let_go(digest)
                self._evict(room=0)

    def has(self, files: Iterable[DataFile]) -> bool:
        """Whether copies of all of them seem to be there, so that none would be fetched."""
        with self._guard:
            return all(file.sha256 in self._sizes for file in files)

    def _begin(self) -> None:
        """Take stock of what an earlier run left; none of it is trusted yet."""
        if self._begun:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        for unfinished in self._incoming.iterdir():
            # What another process fetches now stays.
            with alone(unfinished.with_suffix(""), wait=False) as nobody_fetches_it:
                if nobody_fetches_it:
                    unfinished.unlink(missing_ok=True)
        self._take_stock()
        self._begun = True

    def _take_stock(self) -> None:
        """See what is in the folder; what other processes fetched counts as used the longest ago."""
        found = {
            path.name.removesuffix(_SUFFIX): status
            for path, status in _listed(self._directory)
            if _COPY.fullmatch(path.name)
        }
        for digest in self._sizes.keys() - found.keys():
            del self._sizes[digest]
        unknown = found.keys() - self._sizes.keys()
        for digest in sorted(unknown, key=lambda one: found[one].st_atime_ns, reverse=True):
            self._sizes[digest] = found[digest].st_size
            self._sizes.move_to_end(digest, last=False)

    def _obtain(self, file: DataFile) -> Path:
        """Pin one verified copy."""
        path = self._path(file.sha256)
        with self._turn(file.sha256), disk_errors(_REFUSED):
            handle = self._verified(file, path)
            if handle is None:
                with alone(self._incoming / file.sha256):
                    # Another process may have fetched it while this one waited.
                    handle = self._verified(file, path)
                    if handle is None:
                        handle = self._fetched(file, path)
            with self._guard:
                self._keep_hold(file.sha256, handle)
                self._sizes[file.sha256] = file.bytes
                self._sizes.move_to_end(file.sha256)
        return path

    def _verified(self, file: DataFile, path: Path) -> int | None:
        """A handle that holds the copy where it is what was promised, by its seal or by reading it."""
        try:
            handle = hold(path)
        except OSError:
            return None
        if self._is_verified(file, path):
            return handle
        os.close(handle)
        self._seals.pop(file.sha256, None)
        return None

    def _is_verified(self, file: DataFile, path: Path) -> bool:
        try:
            seal = _Seal.of(path)
            if self._seals.get(file.sha256) == seal:
                return seal.bytes == file.bytes
            if not _matches(file, path) or _Seal.of(path) != seal:
                return False
        except FileNotFoundError:
            return False
        self._seals[file.sha256] = seal
        return True

    def _fetched(self, file: DataFile, path: Path) -> int:
        path.unlink(missing_ok=True)
        with self._guard:
            self._take_stock()
            self._evict(room=file.bytes)
        arriving = self._incoming / f"{file.sha256}{_SUFFIX}"
        arriving.unlink(missing_ok=True)
        try:
            self._store.fetch(file.key, arriving)
            if not _matches(file, arriving):
                raise ObjectCorrupted(
                    "A stored file was altered after it was published; nothing of it is served.",
                    next_step="The operator needs to restore it from a backup of the store.",
                )
            arriving.chmod(0o444)
            # Held under its first name, so that nobody removes it as soon as it has its own.
            handle = hold(arriving)
            arriving.replace(path)
        finally:
            arriving.unlink(missing_ok=True)
        self._seals[file.sha256] = _Seal.of(path)
        return handle

    def _keep_hold(self, digest: str, handle: int) -> None:
        """One more reader; one handle is enough for all, and the newest is on the file of that name."""
        held = self._holds.setdefault(digest, _Hold(handle, 0))
        if held.handle != handle:
            os.close(held.handle)
            held.handle = handle
        held.readers += 1

    def _let_go(self, digest: str) -> None:
        held = self._holds[digest]
        held.readers -= 1
        if held.readers == 0:
            del self._holds[digest]
            os.close(held.handle)

    def _evict(self, *, room: int) -> None:
        """Remove unpinned files, the least recently used first, until `room` bytes are free."""
        total = sum(self._sizes.values())
        for digest in tuple(self._sizes):
            if total + room <= self._limit:
                return
            if digest in self._holds or not unlink_unheld(self._path(digest)):
                continue
            self._seals.pop(digest, None)
            total -= self._sizes.pop(digest)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ObjectCorrupted("A manifest names a file by something that is no SHA-256.")
        return self._directory / f"{digest}{_SUFFIX}"

    @contextmanager
    def _turn(self, digest: str) -> Iterator[None]:
        """One thread at a time fetches one file; the others wait and then find it."""
        with self._guard:
            turn = self._turns.setdefault(digest, Lock())
        with turn:
            yield


def _listed(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in directory.iterdir():
        # Another process may remove it while we look.
        with suppress(FileNotFoundError):
            yield path, path.lstat()


def _matches(file: DataFile, path: Path) -> bool:
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size != file.bytes:
            return False
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
