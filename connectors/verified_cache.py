"""Local copies of stored files that are exactly what their manifest promised.

Readers of Parquet often turn altered bytes into wrong values without an error, so nothing reads an
object as it comes from a store: it is fetched once to a file named by its SHA-256, compared with
the manifest, made read-only, and only then handed out.
"""

import errno
import hashlib
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from uuid import uuid4
from weakref import WeakValueDictionary

from catalogue.dataset import DataFile
from catalogue.errors import ObjectCorrupted
from catalogue.object_store import ObjectStore
from connectors.disk import disk_errors

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


class VerifiedCache:
    """Verified copies in a folder of its own, for one process, shared by its threads.

    A file that is there from an earlier run, or that changed since it was verified, is verified
    again before it is handed out. Beyond `limit_bytes` the files that were used least recently
    are removed; a pinned file never is, even where the limit is passed for a while.
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
        self._pins: Counter[str] = Counter()
        self._turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    @contextmanager
    def pinned(self, files: Iterable[DataFile]) -> Iterator[tuple[Path, ...]]:
        """Paths of verified copies, in the order of `files`, that stay until the block ends.

        Raises ObjectCorrupted where the store gives other bytes than the manifest names, and
        ObjectMissing and StoreUnavailable as the store does.
        """
        wanted = tuple(files)
        with self._guard, disk_errors(_REFUSED):
            self._begin()
            # Pinned before it is fetched, so that nothing can evict it in between.
            self._pins.update(file.sha256 for file in wanted)
        try:
            yield tuple(self._obtain(file) for file in wanted)
        finally:
            with self._guard, disk_errors(_REFUSED):
                self._pins.subtract(file.sha256 for file in wanted)
                self._pins = +self._pins
                self._evict(room=0)

    def _begin(self) -> None:
        """Take stock of what an earlier run left; none of it is trusted yet."""
        if self._begun:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        for unfinished in self._incoming.iterdir():
            unfinished.unlink()
        copies = [path for path in self._directory.iterdir() if _COPY.fullmatch(path.name)]
        for copy in sorted(copies, key=lambda path: path.lstat().st_atime_ns):
            self._sizes[copy.name.removesuffix(_SUFFIX)] = copy.lstat().st_size
        self._begun = True

    def _obtain(self, file: DataFile) -> Path:
        path = self._path(file.sha256)
        with self._turn(file.sha256), disk_errors(_REFUSED):
            if not self._is_verified(file, path):
                self._seals.pop(file.sha256, None)
                path.unlink(missing_ok=True)
                self._download(file, path)
        with self._guard:
            self._sizes[file.sha256] = file.bytes
            self._sizes.move_to_end(file.sha256)
        return path

    def _is_verified(self, file: DataFile, path: Path) -> bool:
        """Whether the copy is what was promised, by its seal or by reading it through."""
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

    def _download(self, file: DataFile, path: Path) -> None:
        with self._guard:
            self._evict(room=file.bytes)
        arriving = self._incoming / uuid4().hex
        try:
            self._store.fetch(file.key, arriving)
            if not _matches(file, arriving):
                raise ObjectCorrupted(
                    "A stored file was altered after it was published; nothing of it is served.",
                    next_step="The operator needs to restore it from a backup of the store.",
                )
            arriving.chmod(0o444)
            arriving.replace(path)
        finally:
            arriving.unlink(missing_ok=True)
        self._seals[file.sha256] = _Seal.of(path)

    def _evict(self, *, room: int) -> None:
        """Remove unpinned files, the least recently used first, until `room` bytes are free."""
        held = sum(self._sizes.values())
        for digest in tuple(self._sizes):
            if held + room <= self._limit:
                return
            if self._pins[digest] > 0:
                continue
            self._path(digest).unlink(missing_ok=True)
            self._seals.pop(digest, None)
            held -= self._sizes.pop(digest)

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


def _matches(file: DataFile, path: Path) -> bool:
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size != file.bytes:
            return False
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
