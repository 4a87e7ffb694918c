"""What every answer with data says of the read: its audit entry, what it read, until when it may."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

ENTRY_HEADER = "Marketplace-Audit-Entry"
RELEASES_HEADER = "Marketplace-Releases"
ENDS_HEADER = "Marketplace-Access-Ends"


class Read(Protocol):
    """A read that was decided and recorded."""

    @property
    def entry(self) -> str:
        """The audit entry of the decision."""

    @property
    def releases(self) -> Mapping[str, int]:
        """The release that is read of each dataset."""

    @property
    def access_ends(self) -> datetime:
        """The first moment at which time alone may end the caller's access to what is read."""


def read_headers(read: Read) -> dict[str, str]:
    """The headers of a read, for which a receipt can be had."""
    releases = ", ".join(f"{name}={number}" for name, number in sorted(read.releases.items()))
    ends = read.access_ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {ENTRY_HEADER: read.entry, RELEASES_HEADER: releases, ENDS_HEADER: ends}
