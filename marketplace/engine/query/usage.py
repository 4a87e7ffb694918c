"""How much of the processors each caller's queries took lately, so that heavy ones yield to light.

The owner guards it by a lock.
"""

from time import monotonic

_HALF_LIFE = 5.0  # seconds
_PRESENT = 10.0  # seconds after which a caller who asks nothing is gone
_FORGOTTEN = 0.01


class Usage:
    """Processor seconds by caller, of which half is forgotten every five seconds."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._since = monotonic()

    def ask(self, caller: str) -> None:
        """The caller has a query."""
        self._asked[caller] = monotonic()

    def alone(self, caller: str) -> bool:
        """Whether nobody else has asked lately, so that there is none to yield to."""
        since = monotonic() - _PRESENT
        self._asked = {other: asked for other, asked in self._asked.items() if asked > since}
        return not self._asked.keys() - {caller}

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
