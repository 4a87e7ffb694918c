"""The socket of one connection, for a thread that has much to send over it.

An event loop copies a large result three times on its way to the kernel and changes threads for
every piece of it: as much processor as reading it from the worker. A reader that keeps up is sent to
by one thread instead, straight from what the worker wrote. What a reader does not take at once goes
back to the event loop, which waits for it without a thread.
"""

import select
import socket
from asyncio import WriteTransport
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Lock

STATE = "marketplace.outlet"
"""Where in the state of a request its server puts the outlet of the connection."""

# Milliseconds in which a reader that keeps up makes room, also on a busy machine.
_PATIENCE = 250

# The server buffers what the kernel does not take at once, and that still reaches a reader whose
# access ends meanwhile.
MOST_AT_ONCE = 1024**2


class Outlet:
    """Writes beside the server, in HTTP's chunked coding, on a connection that nobody else writes to.

    To be opened between the head of a response without Content-Length and its end.
    """

    def __init__(self, transport: WriteTransport, drain: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._drain = drain

    @contextmanager
    def opened(self) -> Iterator["OpenOutlet"]:
        """The connection for the length of a block, in the server's own thread."""
        # The next chunk may go past the event loop as soon as it says that it has room.
        self._transport.set_write_buffer_limits(high=0)
        opened = OpenOutlet(self._transport, self._drain)
        try:
            yield opened
        finally:
            opened.close()


class OpenOutlet:
    """Holds a descriptor of its own: the server may close the connection at any moment, and the
    number of its descriptor could then be another connection's."""

    def __init__(self, transport: WriteTransport, drain: Callable[[], Awaitable[None]]) -> None:
        self._transport = transport
        self._drain = drain
        self._ended = False
        self._sending = Lock()
        self._socket: socket.socket = transport.get_extra_info("socket").dup()
        self._socket.setblocking(False)

    def at_once(self, chunk: bytes | memoryview) -> list[bytes]:
        """Send a chunk from any thread as far as its reader takes it; copies of what is left are for
        `later`.

        Raises OSError where the connection is broken.
        """
        if not chunk:  # would be the mark of the end
            return []
        waiting = [memoryview(b"%x\r\n" % len(chunk)), memoryview(chunk), memoryview(b"\r\n")]
        with self._sending:
            self._send(waiting)
        if self._ended:
            self.close()
        return parts_of(waiting)

    async def later(self, part: bytes) -> None:
        """Send what was left, and wait until the kernel has it."""
        self._transport.write(part)
        await self._drain()

    def close(self) -> None:
        """Let the descriptor go, or let the thread do so that sends at this moment."""
        self._ended = True
        if self._sending.acquire(blocking=False):
            try:
                self._socket.close()
            finally:
                self._sending.release()

    def _send(self, waiting: list[memoryview]) -> None:
        room = select.poll()
        while waiting and not self._ended and not self._transport.get_write_buffer_size():
            try:
                _advance(waiting, self._socket.sendmsg(waiting))
            except BlockingIOError:
                room.register(self._socket, select.POLLOUT)
                if not room.poll(_PATIENCE):
                    return


def _advance(waiting: list[memoryview], sent: int) -> None:
    while waiting and sent >= len(waiting[0]):
        sent -= len(waiting.pop(0))
    if waiting:
        waiting[0] = waiting[0][sent:]


def parts_of(waiting: list[memoryview]) -> list[bytes]:
    """Copies of what waits, none larger than may be sent at once."""
    return [
        bytes(view[start : start + MOST_AT_ONCE])
        for view in waiting
        for start in range(0, len(view), MOST_AT_ONCE)
    ]
