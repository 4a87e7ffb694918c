"""A measured number beside what it should reach and what it should move towards."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number. Without `reach` it is stated only; with `detail` it is kept out of the table.

    `more` says that more is better, as for a throughput; elsewhere less is.
    """

    what: str
    measured: float
    unit: str
    reach: float | None = None
    towards: float | None = None
    more: bool = False
    detail: bool = False

    @property
    def missed(self) -> bool:
        """Whether the number is worse than its reach."""
        if self.reach is None:
            return False
        return self.measured < self.reach if self.more else self.measured > self.reach
