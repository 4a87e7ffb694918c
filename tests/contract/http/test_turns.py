"""Many queries of one person: a few are taken, the rest told to come back, and nobody else waits."""

import selectors
import socket
from contextlib import ExitStack
from typing import Any

import urllib3

BODY = b'{"sql": "SELECT 1"}'


def begun(service: Any) -> socket.socket:
    connection = socket.create_connection(service.address, timeout=20)
    connection.sendall(
        f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\n"
        f"Connection: close\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
        + BODY
    )
    return connection


def answer_on(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b"")).lower()


def test_a_flood_of_queries_keeps_nobody_waiting(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc")
    service.querying.let.clear()
    with ExitStack() as held, selectors.DefaultSelector() as answered:
        held.callback(service.querying.let.set)
        for _ in range(140):
            connection = held.enter_context(begun(service))
            answered.register(connection, selectors.EVENT_READ)
        refused = 0
        while refused < 136:
            ready = answered.select(timeout=20)
            assert ready, "the service does not answer"
            for key, _ in ready:
                answered.unregister(key.fileobj)
                answer = answer_on(key.fileobj)  # type: ignore[arg-type]
                assert answer.startswith(b"http/1.1 503")
                assert b"\r\nretry-after: " in answer
                assert b"/problems/service-busy" in answer
                assert b"4 queries" in answer
                refused += 1
        for path in ("/health", "/api/v1/me"):
            headers = {"Authorization": f"Bearer {service.token}"}
            told = urllib3.request("GET", service.url + path, headers=headers, timeout=20)
            assert told.status == 200
        service.querying.let.set()
        taken = [key.fileobj for key in answered.get_map().values()]
        assert all(answer_on(one).startswith(b"http/1.1 200") for one in taken)  # type: ignore[arg-type]


def test_who_has_read_to_the_end_may_ask_again_at_once(service: Any, delivery: Any) -> None:
    for _ in range(10):
        service.querying.answer = delivery(b"abc")
        with begun(service) as connection:
            assert answer_on(connection).startswith(b"http/1.1 200")
