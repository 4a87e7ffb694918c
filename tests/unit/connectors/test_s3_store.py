"""What S3Store does about stores and networks that are not as they should be."""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from catalogue.errors import ObjectExists, StoreUnfit
from catalogue.object_store import ObjectStore
from connectors.errors import StoreUnavailable
from connectors.s3_store import S3Store
from connectors.stores import open_store

Answer = tuple[str, list[tuple[str, str]], bytes]


class _Quiet(WSGIRequestHandler):
    # Answers `Expect: 100-continue`, which boto3 would wait a second for.
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _serving(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[str]:
    """A server on the loopback interface that answers every request by the function."""

    def application(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        environ["body"] = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, headers, body = answer(environ)
        start(status, [*headers, ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _OverwritingStore:
    """Speaks enough S3 for a probe, and ignores the condition on a write as some stores do."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def __call__(self, environ: dict[str, Any]) -> Answer:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method == "PUT":
            self.objects[path] = environ["body"]
            return "200 OK", [("ETag", '"tag"')], b""
        if method == "DELETE":
            self.objects.pop(path, None)
            return "204 No Content", [], b""
        if path not in self.objects:
            return "404 Not Found", [], b""
        headers = [("ETag", '"tag"'), ("Last-Modified", "Sun, 22 Nov 2026 12:00:00 GMT")]
        return "200 OK", headers, self.objects[path]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-told")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_store_that_ignores_the_condition_on_a_write_is_refused_at_start_up() -> None:
    careless = _OverwritingStore()
    with _serving(careless) as endpoint, pytest.raises(StoreUnfit, match="writes over"):
        open_store("s3://bucket/prefix", endpoint=endpoint).probe()
    assert careless.objects == {}


def test_a_store_that_does_not_know_conditional_writes_is_refused_at_start_up() -> None:
    body = b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>"

    def refuse(environ: dict[str, Any]) -> Answer:
        if environ["REQUEST_METHOD"] == "PUT" and environ.get("HTTP_IF_NONE_MATCH") == "*":
            return "501 Not Implemented", [("Content-Type", "application/xml")], body
        return "204 No Content", [], b""

    with _serving(refuse) as endpoint, pytest.raises(StoreUnfit, match="conditional"):
        open_store("s3://bucket", endpoint=endpoint).probe()


def test_every_put_carries_the_condition() -> None:
    seen: list[str | None] = []

    def note(environ: dict[str, Any]) -> Answer:
        seen.append(environ.get("HTTP_IF_NONE_MATCH"))
        return "200 OK", [("ETag", '"tag"')], b""

    with _serving(note) as endpoint:
        open_store("s3://bucket", endpoint=endpoint).put("one", Path(__file__))
    assert seen == ["*"]


def test_a_put_whose_answer_was_lost_is_told_as_taken_so_that_bytes_are_compared(
    tmp_path: Path,
) -> None:
    kept: dict[str, bytes] = {}

    def lose_the_first_answer(environ: dict[str, Any]) -> Answer:
        if environ["PATH_INFO"] in kept:
            return "412 Precondition Failed", [], b"<Error><Code>PreconditionFailed</Code></Error>"
        kept[environ["PATH_INFO"]] = environ["body"]
        return "503 Slow Down", [], b"<Error><Code>SlowDown</Code></Error>"

    file = tmp_path / "file"
    file.write_bytes(b"content")
    with _serving(lose_the_first_answer) as endpoint, pytest.raises(ObjectExists):
        open_store("s3://bucket", endpoint=endpoint).put("one", file)
    assert kept == {"/bucket/one": b"content"}


def test_a_refusal_is_told_by_its_code_and_without_addresses_or_credentials() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>key testing at host</Message></Error>"

    def refuse(_environ: dict[str, Any]) -> Answer:
        return "403 Forbidden", [("Content-Type", "application/xml")], body

    with _serving(refuse) as endpoint:
        store = open_store("s3://bucket", endpoint=endpoint)
        with pytest.raises(StoreUnavailable, match="AccessDenied") as refused:
            store.put("one", Path(__file__))
        with pytest.raises(StoreUnavailable, match="AccessDenied"):
            list(store.list(""))
        with pytest.raises(StoreUnavailable, match="AccessDenied"):
            store.delete("one")
    told = refused.value.detail + refused.value.next_step
    assert not any(secret in told for secret in (endpoint, "testing", "not-to-be-told"))


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    from boto3.session import Session
    from botocore.config import Config

    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
    client = Session().client(
        "s3", endpoint_url=closed, config=Config(retries={"total_max_attempts": 1})
    )
    store = S3Store("bucket", "", client)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.stat("one")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.fetch("one", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    client.close()


@pytest.mark.parametrize(
    "location",
    ["https://bucket/x", "s3://", "s3://key:secret@bucket/x", "gs://bucket", "s3://bucket/x?a=b"],
)
def test_a_location_of_another_kind_is_refused_without_being_told(location: str) -> None:
    with pytest.raises(StoreUnfit) as refused:
        open_store(location)
    assert "secret" not in refused.value.detail


def test_two_prefixes_of_one_bucket_do_not_see_each_other(
    s3_bucket: str, s3_endpoint: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    stores: list[ObjectStore] = [
        open_store(f"s3://{s3_bucket}/{prefix}", endpoint=s3_endpoint) for prefix in ("a", "ab")
    ]
    for number, store in enumerate(stores):
        store.put(f"object-{number}", file)
    assert [[found.key for found in store.list("")] for store in stores] == [
        ["object-0"],
        ["object-1"],
    ]
