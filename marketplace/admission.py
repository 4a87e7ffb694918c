"""Whether one more piece of work may begin: so many for one person, so many in all.

Who is refused is told when to come back, from how long such work has taken lately.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from threading import Lock
from time import monotonic

from marketplace.errors import ServiceBusy

_LONGEST_WAIT = 60
_WEIGHT = 0.2  # of the newest piece of work in the mean


class Turnover:
    """How long a place is held, as a moving mean in seconds. Safe to share between threads."""

    def __init__(self) -> None:
        self._mean = 1.0

    def note(self, seconds: float) -> None:
        """A place was held that long."""
        self._mean += _WEIGHT * (seconds - self._mean)

    def wait(self, ahead: int, places: int) -> int:
        """Whole seconds until a place may be free with so many waiting ahead; 1 to 60.

        >>> Turnover().wait(ahead=0, places=8)
        1
        """
        return min(max(ceil(self._mean * (ahead + 1) / places), 1), _LONGEST_WAIT)


class Admission:
    """Places for one kind of work. Safe to share between threads; nobody waits here.

    `kind` is what a caller is told there is too much of.
    """

    def __init__(self, kind: str, *, per_person: int, in_all: int) -> None:
        self.kind = kind
        self.in_all = in_all
        self._per_person = per_person
        self._taken: Counter[str] = Counter()
        self._turnover = Turnover()
        self._guard = Lock()

    @contextmanager
    def place(self, person: str) -> Iterator[None]:
        """Hold a place until the block ends. Raises ServiceBusy at once where there is none."""
        self._take(person)
        began = monotonic()
        try:
            yield
        finally:
            self._give_back(person)
            self._turnover.note(monotonic() - began)

    def _take(self, person: str) -> None:
        with self._guard:
            if self._taken[person] >= self._per_person:
                raise busy(
                    f"You have {self._per_person} {self.kind} on their way, as many as one person "
                    "may.",
                    self._turnover.wait(0, self._per_person),
                )
            if self._taken.total() >= self.in_all:
                raise busy(
                    f"As many {self.kind} are on their way as the service takes at once.",
                    self._turnover.wait(0, self.in_all),
                )
            self._taken[person] += 1

    def _give_back(self, person: str) -> None:
        with self._guard:
            self._taken[person] -= 1
            self._taken += Counter()  # forgets who holds none


def busy(detail: str, retry_after: int) -> ServiceBusy:
    """The refusal, with the seconds after which the same call may succeed."""
    seconds = "a second" if retry_after == 1 else f"{retry_after} seconds"
    return ServiceBusy(detail, next_step=f"Try again in {seconds}.", retry_after=retry_after)
