"""Objects as files in a folder: the embedded default on one machine."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from uuid import uuid4

from catalogue.errors import ObjectExists, ObjectMissing
from catalogue.object_store import StoredObject
from connectors.disk import disk_errors
from connectors.new_file import new_file
from connectors.object_key import check_key, check_prefix
from connectors.store_probe import prove_create_only

# A segment of a key never begins with a dot, so no key can name this folder.
_INCOMING = ".incoming"
_REFUSED = "The folder that holds the objects refused"
_CHUNK = 1024 * 1024
_ABANDONED_SECONDS = 24 * 3600


class LocalStore:
    """An `ObjectStore` below a folder on a file system with hard links.

    An object comes into being by a hard link to a finished, flushed file, which the kernel refuses
    where the name is taken; no reader can meet half an object. `put` returns after the file and
    every folder above it up to the root are flushed to disk.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, path: Path) -> None:
        target = self._path(key)
        incoming = self._root / _INCOMING / uuid4().hex
        with disk_errors(_REFUSED):
            incoming.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _copy_durably(path, incoming)
                os.link(incoming, target)
            except FileExistsError:
                # The first writer may have died before it flushed the name; the caller may rely
                # on the object from here on, so the name is flushed in this case as well.
                self._flush_folders(target)
                raise ObjectExists(f"The store already holds {key}.") from None
            finally:
                incoming.unlink(missing_ok=True)
            self._flush_folders(target)

    def fetch(self, key: str, into: Path) -> None:
        # A folder or a link is no object, and what a link leads to was never put.
        self.stat(key)
        with disk_errors(_REFUSED), self._path(key).open("rb") as stored, new_file(into) as copy:
            shutil.copyfileobj(stored, copy, _CHUNK)

    def stat(self, key: str) -> StoredObject:
        with disk_errors(_REFUSED):
            try:
                return _describe(key, self._path(key).lstat())
            except (FileNotFoundError, NotADirectoryError):
                raise _missing(key) from None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        folder, _, _ = check_prefix(prefix).rpartition("/")
        with disk_errors(_REFUSED):
            for key, entry in _walk(self._root / folder, f"{folder}/" if folder else ""):
                if key.startswith(prefix):
                    # An object that is deleted while it is listed is not an error.
                    try:
                        yield _describe(key, entry.stat(follow_symlinks=False))
                    except (FileNotFoundError, ObjectMissing):
                        continue

    def delete(self, key: str) -> None:
        target = self._path(key)
        with disk_errors(_REFUSED):
            try:
                target.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            _flush(target.parent)

    def probe(self) -> None:
        prove_create_only(self)
        with disk_errors(_REFUSED):
            _drop_abandoned(self._root / _INCOMING)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _flush_folders(self, target: Path) -> None:
        """Flush each folder from the object's own up to the one that holds the root."""
        folder = target.parent
        while folder != self._root.parent:
            _flush(folder)
            folder = folder.parent
        _flush(folder)


def _copy_durably(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, _CHUNK)
        writing.flush()
        os.fchmod(writing.fileno(), 0o444)
        os.fsync(writing.fileno())


def _drop_abandoned(incoming: Path) -> None:
    """Remove what a crash left behind: whatever no `put` has written to for a day."""
    mark = incoming / uuid4().hex
    mark.touch()
    present = mark.stat().st_mtime
    mark.unlink()
    for path in incoming.iterdir():
        if path.stat().st_mtime < present - _ABANDONED_SECONDS:
            path.unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _walk(folder: Path, above: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file below a folder with its key, in the order of whole keys."""
    try:
        with os.scandir(folder) as entries:
            # A folder sorts as "name/", since that is how the keys below it go on.
            found = sorted(entries, key=lambda entry: entry.name + "/" * _is_folder(entry))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        key = above + entry.name
        if entry.name == _INCOMING:
            continue
        elif _is_folder(entry):
            yield from _walk(Path(entry.path), f"{key}/")
        else:
            yield key, entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _describe(key: str, status: os.stat_result) -> StoredObject:
    if not S_ISREG(status.st_mode):
        raise _missing(key)
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredObject(key=key, bytes=status.st_size, modified_at=modified)


def _missing(key: str) -> ObjectMissing:
    return ObjectMissing(f"The store has no object {key}.")
