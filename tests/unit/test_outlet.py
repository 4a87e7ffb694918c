"""A thread sends beside the event loop: whole chunks, to that one connection, and no longer than it may."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from marketplace.api.outlet import MOST_AT_ONCE, OpenOutlet


class Transport:
    """As much of a transport of asyncio as an outlet uses."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffered = 0
        self.written: list[bytes] = []

    def get_extra_info(self, _: str) -> socket.socket:
        return self.connection

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def write(self, part: memoryview) -> None:
        self.written.append(bytes(part))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The service's end of a connection, and its reader's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        theirs.settimeout(20)
        yield ours, theirs


async def drained() -> None:
    """Nothing waits."""


def outlet_on(transport: Transport) -> OpenOutlet:
    return OpenOutlet(cast("Any", transport), drained)


def test_a_chunk_is_sent_in_the_chunked_coding(ends: tuple[socket.socket, socket.socket]) -> None:
    outlet = outlet_on(Transport(ends[0]))
    assert outlet.at_once(memoryview(b"abc")) == []
    outlet.close()

    assert ends[1].recv(100) == b"3\r\nabc\r\n"


def test_an_empty_chunk_is_not_sent_for_it_would_be_the_mark_of_the_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outlet = outlet_on(Transport(ends[0]))
    assert outlet.at_once(b"") == []
    assert outlet.at_once(b"x") == []
    outlet.close()

    assert ends[1].recv(100) == b"1\r\nx\r\n"


def test_what_a_reader_does_not_take_is_left_in_parts_that_go_on_where_it_stopped(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    transport = Transport(ends[0])
    outlet = outlet_on(transport)
    chunk = bytes(range(256)) * (3 * MOST_AT_ONCE // 256)
    left = outlet.at_once(chunk)
    for part in left:
        asyncio.run(outlet.later(part))
    outlet.close()
    ends[0].close()
    sent = b"".join(iter(lambda: ends[1].recv(MOST_AT_ONCE), b""))

    assert 0 < len(sent) < len(chunk)
    assert max(map(len, left)) <= MOST_AT_ONCE
    assert sent + b"".join(transport.written) == b"%x\r\n" % len(chunk) + chunk + b"\r\n"


def test_nothing_overtakes_what_the_server_has_yet_to_send(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    transport = Transport(ends[0])
    transport.buffered = 1
    outlet = outlet_on(transport)
    left = outlet.at_once(b"abc")
    outlet.close()
    ends[0].close()

    assert b"".join(left) == b"3\r\nabc\r\n"
    assert ends[1].recv(100) == b""


def test_a_chunk_goes_to_its_reader_also_when_the_server_s_descriptor_is_another_s_by_now(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outlet = outlet_on(Transport(ends[0]))
    size = 4 * MOST_AT_ONCE
    left: list[Any] = []
    sending = threading.Thread(target=lambda: left.append(outlet.at_once(bytes(size))))
    sending.start()
    assert ends[1].recv(1)  # it is in the middle of it
    ends[0].close()
    others = [socket.socketpair() for _ in range(8)]
    taken = 1
    while taken < len(b"400000\r\n\r\n") + size:
        taken += len(ends[1].recv(MOST_AT_ONCE))
    sending.join(20)
    outlet.close()

    assert left == [[]]
    for ours, theirs in others:
        ours.close()
        assert theirs.recv(100) == b""
        theirs.close()


def test_the_descriptor_goes_with_the_thread_that_used_it_last(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outlet = outlet_on(Transport(ends[0]))
    sending = threading.Thread(target=outlet.at_once, args=(bytes(8 * MOST_AT_ONCE),))
    sending.start()
    assert ends[1].recv(1)
    outlet.close()
    ends[0].close()
    sending.join(20)
    while ends[1].recv(MOST_AT_ONCE):  # ends only where nobody holds the connection any more
        pass
