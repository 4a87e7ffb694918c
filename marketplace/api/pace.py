"""How long the other side of a connection may keep the service waiting."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Pace:
    """The patience with one sender or reader: so long for nothing at all, and so long for its bytes.

    Who moves `least` bytes a second is never ended, and neither is who keeps silent for less than
    `stall` seconds; who drips, so as to keep a place, uses up that time once. Only time that the
    other side takes is counted.
    """

    def __init__(self, *, stall: float, least: int) -> None:
        self.stall = stall
        self.least = least
        self._left = stall

    async def wait(self, other_side: Awaitable[T], size: int = 0) -> T:
        """Wait for the other side to take `size` bytes. Raises TimeoutError."""
        clock = asyncio.get_running_loop().time
        self.moved(size)
        began = clock()
        try:
            async with asyncio.timeout(min(self._left, self.stall + size / self.least)):
                return await other_side
        finally:
            self._left -= clock() - began

    def moved(self, size: int) -> None:
        """So many bytes have come."""
        self._left += size / self.least
