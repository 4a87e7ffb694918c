"""What the client promises by itself: it keeps the token to itself and needs no server."""

import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from marketplace.client import (
    ClientError,
    InsecureConnection,
    InvalidCall,
    LibraryMissing,
    MarketplaceProblem,
    ServiceUnreachable,
    connect,
)

SECRET = "dmk_a-secret-that-nobody-shall-see"


@pytest.mark.parametrize(
    "url",
    [
        "http://data.example.org",
        "http://10.0.0.1:8400",
        "http://127.0.0.1.example.org",
        "http://[2001:db8::1]",
    ],
)
def test_a_token_is_not_sent_unencrypted_over_a_network(url: str) -> None:
    with pytest.raises(InsecureConnection) as caught:
        connect(url, token=SECRET)
    assert SECRET not in str(caught.value)
    connect(url, token=SECRET, allow_unencrypted=True).close()


@pytest.mark.parametrize(
    "url",
    ["https://data.example.org", "http://127.0.0.1:1", "http://localhost", "http://[::1]:8400"],
)
def test_a_token_may_go_encrypted_or_to_this_machine(url: str) -> None:
    connect(url, token=SECRET).close()


@pytest.mark.parametrize(
    "url", ["data.example.org", "ftp://example.org", "https://", "http://a:b@localhost", "http://["]
)
def test_an_address_that_is_none_or_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(InvalidCall):
        connect(url, token=SECRET)


def test_the_environment_is_read_where_nothing_is_given(
    monkeypatch: pytest.MonkeyPatch, service: Any
) -> None:
    monkeypatch.setenv("MARKETPLACE_URL", service.url)
    monkeypatch.setenv("MARKETPLACE_TOKEN", service.token)
    monkeypatch.setenv("MARKETPLACE_PROJECT", "family_squad")
    with connect() as client:
        assert (client.me().name, client.me().project) == ("Sam Member", "family_squad")
    with connect(project="other_squad") as client, pytest.raises(MarketplaceProblem) as caught:
        client.me()
    assert caught.value.type == "/problems/wrong-project"


def test_the_token_is_in_no_text_about_the_client(
    service: Any, delivery: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.querying.answer = delivery(b"")
    with connect(service.url, token=service.token) as client:
        client.me()
        result = client.query("SELECT 1")
        shown = [repr(client), str(client), repr(result), repr(client.__dict__), caplog.text]
        result.close()
    assert all(service.token not in text for text in shown)


def test_nothing_that_answers_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with connect(url, token=SECRET) as client, pytest.raises(ServiceUnreachable) as caught:
        client.search()
    assert caught.value.exit_code == 8
    assert SECRET not in str(caught.value)


def test_something_else_that_answers_is_not_taken_for_a_marketplace(service: Any) -> None:
    url = f"{service.url}/docs?"
    with connect(url, token=service.token) as client, pytest.raises(ServiceUnreachable):
        client.health()


@pytest.mark.parametrize("address", ["homes", "a.b.c.d", "a..b", ""])
def test_an_address_without_its_parts_is_refused_before_it_is_sent(
    service: Any, address: str, tmp_path: Path
) -> None:
    with connect(service.url, token=service.token) as client:
        for call in (client.dataset, lambda name: client.pull(name, tmp_path / "a.csv")):
            with pytest.raises(InvalidCall):
                call(address)


def test_a_file_name_without_a_known_format_is_refused(service: Any, tmp_path: Path) -> None:
    with connect(service.url, token=service.token) as client, pytest.raises(InvalidCall) as caught:
        client.pull("mhclg.homes", tmp_path / "homes.xls")
    assert ".parquet" in caught.value.next_step


def test_a_missing_library_is_named(
    service: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    service.querying.answer = delivery(b"")
    with (
        connect(service.url, token=service.token) as client,
        client.query("SELECT 1") as result,
        pytest.raises(LibraryMissing) as caught,
    ):
        result.to_polars()
    assert "pip install polars" in caught.value.next_step
    assert isinstance(caught.value, ClientError)


def test_the_client_works_where_nothing_of_the_server_is_installed(
    service: Any, delivery: Any, tmp_path: Path
) -> None:
    import pyarrow as pa

    table = pa.table({"n": [1, 2, 3]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    service.querying.answer = delivery(sink.getvalue().to_pybytes())
    program = """
import sys

BLOCKED = {
    "alembic", "boto3", "casbin", "cryptography", "duckdb", "litestar", "psycopg", "rfc8785",
    "sqlalchemy", "uvicorn", "catalogue", "access_policies", "connectors",
}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from marketplace.client import connect
with connect() as client:
    print(client.me().project, client.query("SELECT 1").to_arrow().num_rows)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"MARKETPLACE_URL": service.url, "MARKETPLACE_TOKEN": service.token},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("family_squad 3\n", "")
