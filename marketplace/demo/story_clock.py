"""A clock that the story sets, so that a last day is reached without waiting for it."""

from datetime import datetime
from threading import Lock


class StoryClock:
    """Stands still until it is moved, and never back; safe to share between threads."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._lock = Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    def move_to(self, moment: datetime) -> None:
        """Set the present. Raises ValueError where that would be going back."""
        with self._lock:
            if moment < self._now:
                raise ValueError("the story does not go back in time")
            self._now = moment
