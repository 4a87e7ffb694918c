"""Faults of this machine's disk, told in words and without its paths."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.errors import StoreUnavailable


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Raise StoreUnavailable, beginning with the sentence part `what`, for an OSError inside."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StoreUnavailable(
            f"{what}: {reason}.",
            next_step="The operator needs to look at the disk: its space, its rights, its health.",
        ) from error
