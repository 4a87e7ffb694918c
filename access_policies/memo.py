"""An exact memo: what was found under one policy revision, for as long as nothing can change it.

A value rests on rows that only move together with the revision (see `revision`), and on the time.
So it is kept with the revision that it was found under and the moments between which it holds, and
is given out under that revision and at such a moment only. With the memo or without it, an answer
is the same.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Value]):
    value: Value
    since: datetime
    until: datetime | None


class Memo(Generic[Key, Value]):
    """Up to `limit` values by their keys. Safe to share between threads.

    Use it inside transactions that hold the revision and write nothing that a revision covers: what
    is rolled back must not be kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._revision = -1
        self._kept: OrderedDict[Key, _Kept[Value]] = OrderedDict()
        self._guard = Lock()

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._kept)

    def find(self, key: Key, *, revision: int, now: datetime) -> Value | None:
        """What was kept under this revision and still holds at this moment."""
        with self._guard:
            if revision != self._revision:
                return None
            kept = self._kept.get(key)
        # A clock can be set back, to before a boundary that had passed.
        if kept is None or now < kept.since or (kept.until is not None and now >= kept.until):
            return None
        return kept.value

    def keep(
        self, key: Key, value: Value, *, revision: int, since: datetime, until: datetime | None
    ) -> None:
        """Keep what was found at `since`; time alone changes it at `until` at the earliest."""
        with self._guard:
            if revision != self._revision:
                self._kept.clear()
                self._revision = revision
            self._kept[key] = _Kept(value, since, until)
            self._kept.move_to_end(key)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
