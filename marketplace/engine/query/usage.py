"""How much of the processors each caller's queries took lately, so that heavy ones yield to light.

The owner guards it by a lock.
"""

from time import monotonic

_HALF_LIFE = 5.0  # seconds
_FORGOTTEN = 0.01


class Usage:
    """Processor seconds by caller, of which half is forgotten every five seconds."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._since = monotonic()

    def note(self, caller: str, seconds: float) -> None:
        """A query of the caller took so much."""
        self._fade()
        self._spent[caller] = self._spent.get(caller, 0.0) + seconds

    def of(self, caller: str) -> float:
        """What the caller's queries took lately."""
        self._fade()
        return self._spent.get(caller, 0.0)

    def _fade(self) -> None:
        now = monotonic()
        kept = 0.5 ** ((now - self._since) / _HALF_LIFE)
        self._since = now
        faded = {caller: spent * kept for caller, spent in self._spent.items()}
        self._spent = {caller: spent for caller, spent in faded.items() if spent > _FORGOTTEN}
