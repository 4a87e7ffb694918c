"""Files that come into being whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that was not there before; nothing is left where the block raises.

    Raises FileExistsError where it was there; that file is left alone.
    """
    with path.open("xb") as stream:
        try:
            yield stream
        except BaseException:
            path.unlink(missing_ok=True)
            raise
