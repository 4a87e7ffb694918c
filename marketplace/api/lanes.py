"""Places and threads by kind of work, so that one kind that waits never keeps another from running."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from marketplace.errors import ServiceBusy

T = TypeVar("T")
P = ParamSpec("P")


class Lane:
    """How much of one kind of work is done at once, for each person and in all, and its threads.

    A place is taken before any thread is, so work that is refused costs none and work that has a
    place never waits for one. `kind` is what a caller is told there is too much of. Belongs to one
    event loop.
    """

    def __init__(self, kind: str, *, per_person: int, in_all: int) -> None:
        self._kind = kind
        self._per_person = per_person
        self._in_all = in_all
        self._taken: Counter[str] = Counter()
        # While one thread of a place waits, a second may have to stop what it waits for.
        self._threads = ThreadPoolExecutor(2 * in_all, thread_name_prefix=f"marketplace-{kind}")

    @contextmanager
    def place(self, person: str) -> Iterator[None]:
        """Hold a place until the block ends. Raises ServiceBusy at once where there is none."""
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
        self._taken[person] += 1
        try:
            yield
        finally:
            self._taken[person] -= 1
            self._taken += Counter()  # forgets who holds none

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something that blocks in a thread of this lane. Call it while holding a place."""
        call = partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Wait until what runs has ended."""
        self._threads.shutdown()
