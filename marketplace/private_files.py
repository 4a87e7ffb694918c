"""Files that hold a secret of the service: created whole, once, for the service's user alone."""

import os
from pathlib import Path
from uuid import uuid4


def create_once(path: Path, text: str) -> None:
    """Create a file of mode 0600, or leave the one that is there.

    Written aside and linked into place: nobody reads half a key, and the first of two wins.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
    finally:
        draft.unlink()
        flush_folder(path.parent)


def open_to_others(path: Path) -> bool:
    """Whether anybody but the file's owner may read or change it."""
    return bool(path.stat().st_mode & 0o077)


def flush_folder(folder: Path) -> None:
    """Make durable that a file was created in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
