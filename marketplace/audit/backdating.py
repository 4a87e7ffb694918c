"""Whether entries came in the order of the moments at which they say that they were recorded.

An entry that somebody puts into the database unseen gets its place and a signature like any other.
Its place is the next one, so a moment of long ago betrays it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from marketplace.audit.entries import instant_text
from marketplace.audit.entry_check import StoredEntry

# Nodes have clocks of their own, and of two transactions the one that began first may commit last.
_ALLOWANCE = timedelta(minutes=10)

# Where a clock was put back, everything until it caught up is named; the rest is counted.
_MOST_NAMED = 20


class Moments:
    """Follows the moments of entries that are sound otherwise, in the order of their positions."""

    def __init__(self) -> None:
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._backdated = 0

    def check(self, row: StoredEntry) -> Iterator[str]:
        """Name the entry where it says no moment, or one well before that of an earlier entry."""
        name = f"The entry {row.entry_id} at position {row.position}"
        moment = _moment(row.recorded_at or "")
        if moment is None:
            yield f"{name} does not say when it was recorded as the service does: it was added."
        elif self._latest - moment <= _ALLOWANCE:
            self._latest = max(self._latest, moment)
        else:
            self._backdated += 1
            if self._backdated <= _MOST_NAMED:
                yield (
                    f"{name} says it was recorded at {row.recorded_at}, after later ones, of "
                    f"{instant_text(self._latest)} at the latest: it is back-dated, or a clock was "
                    "put back."
                )

    def rest(self) -> Iterator[str]:
        """How many more are back-dated than were named."""
        if self._backdated > _MOST_NAMED:
            more = self._backdated - _MOST_NAMED
            yield f"{more} more entries say they were recorded before ones that they came after."


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment if instant_text(moment) == text else None
    except (ValueError, OverflowError):
        return None
