"""What the marketplace asks of a place that data comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that arrived whole. `name` is what its sender calls it and is never a path of ours."""

    path: Path
    name: str
    bytes: int
    sha256: str


class Source(Protocol):
    """Somewhere bytes come from. A source moves bytes; it does not read tables."""

    def fetch(self, into: Path) -> Fetched:
        """Bring the bytes to a new private file in the folder `into`.

        Nothing is left behind where it raises: SourceTooLarge above the service's limit,
        SourceInterrupted where not everything came.
        """
