"""Places and threads by kind of work, so that one kind that waits never keeps another from running."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import ParamSpec, TypeVar

from marketplace.admission import Admission
from marketplace.api.pace import Pace

T = TypeVar("T")
P = ParamSpec("P")


class Lane:
    """One kind of work: its places, and the threads in which it waits.

    A place is taken before any thread is, so work that is refused costs none and work that has a
    place never waits for one. A place is nobody's for good: the other side of a connection may be
    silent for `stall` seconds, and must move `least_rate` bytes a second. Belongs to one event loop.
    """

    def __init__(self, places: Admission, *, stall: float = 60.0, least_rate: int = 16384) -> None:
        self._places = places
        self._stall = stall
        self._least_rate = least_rate
        # While one thread of a place waits, a second may have to stop what it waits for.
        self._threads = ThreadPoolExecutor(
            2 * places.in_all, thread_name_prefix=f"marketplace-{places.kind}"
        )

    def place(self, person: str) -> AbstractContextManager[None]:
        """Hold a place until the block ends. Raises ServiceBusy at once where there is none."""
        return self._places.place(person)

    def pace(self) -> Pace:
        """The patience with the other side of one connection that holds a place."""
        return Pace(stall=self._stall, least=self._least_rate)

    def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Do something that blocks in a thread of this lane. Call it while holding a place."""
        call = partial(work, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Wait until what runs has ended."""
        self._threads.shutdown()
