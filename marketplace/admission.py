"""How much of one kind of work is on its way at once, for each person and in all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from marketplace.errors import ServiceBusy


class Admission:
    """Places for one kind of work; `kind` is what a caller is told there is too much of.

    Safe to share between threads. It counts what this process does: another one has its own.
    """

    def __init__(self, kind: str, *, per_person: int, in_all: int) -> None:
        self._kind = kind
        self._per_person = per_person
        self._in_all = in_all
        self._taken: Counter[str] = Counter()
        self._guard = Lock()

    @contextmanager
    def place(self, person: str) -> Iterator[None]:
        """Hold a place until the block ends. Raises ServiceBusy at once where there is none."""
        with self._guard:
            self._check(person)
            self._taken[person] += 1
        try:
            yield
        finally:
            with self._guard:
                self._taken[person] -= 1
                self._taken += Counter()  # forgets who holds none

    def _check(self, person: str) -> None:
        if self._taken[person] >= self._per_person:
            raise ServiceBusy(
                f"You have {self._per_person} {self._kind} on their way, as many as one person may.",
                next_step="Try again when one of them has ended.",
            )
        if self._taken.total() >= self._in_all:
            raise ServiceBusy(
                f"As many {self._kind} are on their way as the service takes at once.",
                next_step="Try again in a moment.",
            )
