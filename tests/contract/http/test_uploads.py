"""Uploads that are slow, silent or too many: each is ended or refused, and nobody else waits for it."""

import base64
import hashlib
import json
import os
import selectors
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from marketplace.client import MarketplaceProblem, connect

RELEASES = "/api/v1/datasets/mhclg/homes/releases?filename=homes.csv"
FILE = b"area,households\nLeeds,1200\n"


def upload(service: Any, body: bytes = FILE, **headers: str) -> tuple[int, dict[str, Any]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = urllib3.request(
        "POST",
        service.url + RELEASES,
        body=body,
        headers={"Authorization": f"Bearer {service.token}"} | given,
        retries=False,
        timeout=20,
    )
    return answer.status, json.loads(answer.data)


def begun(service: Any, file: bytes, length: int) -> socket.socket:
    """A connection on which an upload of `length` bytes has been begun with `file`."""
    connection = socket.create_connection(service.address, timeout=20)
    connection.sendall(
        f"POST {RELEASES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\n"
        f"Connection: close\r\nContent-Length: {length}\r\n\r\n".encode()
        + file
    )
    return connection


def answer_on(connection: socket.socket) -> tuple[int, dict[str, Any], bytes]:
    whole = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), head.lower()


def spooled(service: Any) -> list[Path]:
    return list(service.parts.scratch.path.iterdir())


def test_a_file_arrives_byte_for_byte_and_is_gone_afterwards(service: Any) -> None:
    file = bytes(range(256)) * 3
    assert upload(service, file)[1]["type"] == "/problems/release-conflict"
    assert service.publishing.taken == [file]
    assert service.publishing.begun.acquire(timeout=20)
    assert spooled(service) == []


def test_silent_uploads_keep_nobody_waiting(service: Any) -> None:
    with ExitStack() as held, selectors.DefaultSelector() as answered:
        for _ in range(140):
            connection = held.enter_context(begun(service, b"a,b\n1,2\n", 1000))
            answered.register(connection, selectors.EVENT_READ)
        refused = 0
        while refused < 138:
            ready = answered.select(timeout=20)
            assert ready, "the service does not answer"
            for key, _ in ready:
                answered.unregister(key.fileobj)
                status, problem, head = answer_on(key.fileobj)  # type: ignore[arg-type]
                assert (status, problem["type"]) == (503, "/problems/service-busy")
                assert b"\r\nretry-after: " in head
                refused += 1
        health = urllib3.request("GET", f"{service.url}/health", retries=False, timeout=20)
        assert health.status == 200


def test_an_upload_that_falls_silent_is_ended_and_nothing_is_kept(service: Any) -> None:
    settings = service.parts.settings
    service.parts.settings = msgspec.structs.replace(settings, upload_stall=0.2)
    try:
        with begun(service, b"a,b\n1,2\n", 1000) as connection:
            status, problem, _ = answer_on(connection)
    finally:
        service.parts.settings = settings
    assert (status, problem["type"]) == (400, "/problems/source-interrupted")
    assert "0.2 seconds" in problem["detail"]
    assert spooled(service) == []
    assert service.publishing.taken == []


def test_an_upload_that_drips_is_ended_though_it_is_never_silent(service: Any) -> None:
    settings = service.parts.settings
    service.parts.settings = msgspec.structs.replace(settings, upload_stall=0.5)
    try:
        with begun(service, b"a,b\n1,2\n", 1000) as connection:
            connection.settimeout(0.01)
            answer = b""
            for _ in range(900):  # some nine seconds; the file would be whole only after that
                connection.sendall(b"1")
                with suppress(TimeoutError):
                    answer = connection.recv(65536)
                    break
            connection.settimeout(20)  # the answer may come in several segments
            answer += b"".join(iter(lambda: connection.recv(65536), b""))
    finally:
        service.parts.settings = settings
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"bytes a second" in answer
    assert spooled(service) == []


def test_one_person_uploads_two_files_at_a_time_and_then_may_again(service: Any) -> None:
    with ExitStack() as held:
        service.publishing.let.clear()
        held.callback(service.publishing.let.set)
        connections = []
        for _ in range(2):
            connections.append(held.enter_context(begun(service, FILE, len(FILE))))
            assert service.publishing.begun.acquire(timeout=20)
        status, problem = upload(service)
        assert (status, problem["type"]) == (503, "/problems/service-busy")
        assert "2 uploads" in problem["detail"]
        service.publishing.let.set()
        assert [answer_on(connection)[0] for connection in connections] == [409, 409]
    assert upload(service)[0] == 409
    assert service.publishing.begun.acquire(timeout=20)


def content_digest(file: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(file).digest()).decode()}:"


@pytest.mark.parametrize("others", ["", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:, ", "unixsum=:30637:,"])
def test_a_file_with_the_digest_that_was_announced_is_taken(service: Any, others: str) -> None:
    assert upload(service, Content_Digest=others + content_digest(FILE))[0] == 409
    assert service.publishing.taken == [FILE]


def test_a_file_that_was_altered_on_its_way_is_refused_and_nothing_is_kept(service: Any) -> None:
    status, problem = upload(service, Content_Digest=content_digest(FILE + b" "))
    assert (status, problem["type"]) == (400, "/problems/source-interrupted")
    assert "SHA-256" in problem["detail"]
    assert service.publishing.taken == []
    assert spooled(service) == []


@pytest.mark.parametrize(
    "header",
    ["sha-256=", "sha-256=:", "sha-256=::", "sha-256=:YWJj:", "sha-256=abc", "sha-256=:@@@@:"],
)
def test_a_digest_that_is_none_is_refused(service: Any, header: str) -> None:
    status, problem = upload(service, Content_Digest=header)
    assert (status, problem["type"]) == (400, "/problems/request-malformed")


def test_a_file_that_changes_while_the_client_sends_it_is_refused(
    service: Any, tmp_path: Path
) -> None:
    path = tmp_path / "homes.csv"
    path.write_bytes(FILE * 150_000)

    def alter(done: int, total: int | None) -> None:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"X")

    settings = service.parts.settings
    service.parts.settings = msgspec.structs.replace(settings, upload_limit=2**24)
    try:
        with connect(service.url, token=service.token) as client:
            for progress, kind in ((None, "release-conflict"), (alter, "source-interrupted")):
                with pytest.raises(MarketplaceProblem) as caught:
                    client.publish(path, "mhclg.homes", progress=progress)
                assert caught.value.type == f"/problems/{kind}"
    finally:
        service.parts.settings = settings
    assert service.publishing.taken == [FILE * 150_000]
