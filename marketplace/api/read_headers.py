"""What every answer with data says of the read: the audit entry that records it, and what it read."""

from collections.abc import Mapping
from typing import Protocol

ENTRY_HEADER = "Marketplace-Audit-Entry"
RELEASES_HEADER = "Marketplace-Releases"


class Read(Protocol):
    """A read that was decided and recorded."""

    @property
    def entry(self) -> str:
        """The audit entry of the decision."""

    @property
    def releases(self) -> Mapping[str, int]:
        """The release that is read of each dataset."""


def read_headers(read: Read) -> dict[str, str]:
    """The headers of a read, for which a receipt can be had."""
    releases = ", ".join(f"{name}={number}" for name, number in sorted(read.releases.items()))
    return {ENTRY_HEADER: read.entry, RELEASES_HEADER: releases}
