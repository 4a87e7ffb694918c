"""How much a statement may have to read, known from the manifest before anything is fetched."""

from collections.abc import Iterable

from catalogue.dataset import DataFile
from marketplace.errors import QueryTooLarge


def check_scan(files: Iterable[DataFile], most: int) -> None:
    """Raise QueryTooLarge where the files hold more than `most` bytes together.

    An upper bound: a statement reads the columns that it names, of the row groups that it needs.
    """
    scanned = sum(file.bytes for file in files)
    if scanned > most:
        raise QueryTooLarge(
            f"The tables that it names hold {_readable(scanned)}, and one query may read "
            f"{_readable(most)}.",
            next_step="Ask the operator for more, or download the tables as files.",
        )


def _readable(size: int) -> str:
    """
    >>> _readable(1536), _readable(3 * 1024**3), _readable(10)
    ('1.5 KiB', '3 GiB', '10 bytes')
    """
    for unit, scale in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= scale:
            return f"{round(size / scale, 1):g} {unit}"
    return f"{size} bytes"
