"""What a reader sees on the wire when a result is whole, breaks off, or is left."""

import io
import socket
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from marketplace.api.media_types import OFFERS
from marketplace.client import (
    Client,
    InvalidCall,
    MarketplaceProblem,
    ResultConsumed,
    StreamCut,
    connect,
)
from marketplace.engine.query.query_messages import Compression, Encoding, OutputFormat
from marketplace.errors import AccessEnded, QueryFailed, ServiceBusy

ACCEPTS = list(OFFERS)
BROKEN = AccessEnded("Your access ended: it was revoked.", next_step="Ask for an extension.")


@pytest.fixture
def client(service: Any) -> Iterator[Client]:
    with connect(service.url, token=service.token) as client:
        yield client


def arrow(rows: int = 3, packed: str | None = None) -> bytes:
    table = pa.table({"place": ["E08000019"] * rows, "n": list(range(rows))})
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=packed)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def query(token: str, accept: str = "*/*", body: bytes = b'{"sql": "SELECT 1"}') -> bytes:
    return (
        f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Accept: {accept}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def test_a_whole_result_ends_with_the_closing_chunk(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc", b"de")
    head, _, body = service.exchange(query(service.token)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert service.querying.answer.closed.wait(15)


def test_a_result_that_is_there_at_once_says_its_length(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc", b"de", at_once=True)
    head, _, body = service.exchange(query(service.token)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"\r\ncontent-length: 5\r\n" in head.lower()
    assert b"chunked" not in head.lower()
    assert b"\r\nmarketplace-audit-entry: " in head.lower()
    assert body == b"abcde"


@pytest.mark.parametrize("accept", ACCEPTS)
def test_a_result_that_fails_after_its_first_byte_has_no_closing_chunk(
    service: Any, delivery: Any, accept: str
) -> None:
    service.querying.answer = delivery(b"abc", then=BROKEN)
    head, _, body = service.exchange(query(service.token, accept)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"3\r\nabc\r\n"
    assert service.querying.answer.closed.wait(15)


def test_an_unforeseen_failure_in_the_stream_cuts_it_too(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc", then=ZeroDivisionError("secret"))
    answer = service.exchange(query(service.token))
    assert answer.endswith(b"3\r\nabc\r\n")
    assert b"secret" not in answer


def test_a_result_ends_with_its_access_also_while_its_reader_takes_nothing(
    service: Any, delivery: Any
) -> None:
    pieces = [b"x" * 1024**2] * 64
    service.querying.answer = delivery(*pieces)
    with socket.create_connection(service.address, timeout=20) as connection:
        connection.sendall(query(service.token))
        assert connection.recv(1)
        assert not service.querying.answer.closed.wait(1.5)
        service.querying.answer.ended.set()
        assert service.querying.answer.closed.wait(15)
        taken = sum(map(len, iter(lambda: connection.recv(1024**2), b"")))
    assert taken < 16 * 1024**2


def test_hardly_more_than_the_kernel_holds_reaches_a_reader_whose_access_ended(
    service: Any, delivery: Any
) -> None:
    service.querying.answer = delivery(b"x" * 64 * 1024**2)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(20)
        connection.connect(service.address)
        connection.sendall(query(service.token))
        assert connection.recv(1)
        service.querying.answer.ended.set()
        assert service.querying.answer.closed.wait(15)
        taken = sum(map(len, iter(lambda: connection.recv(1024**2), b"")))
    assert taken < 4 * 1024**2


def test_the_work_is_stopped_at_once_when_the_reader_leaves(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc", wait=True)
    with socket.create_connection(service.address, timeout=20) as connection:
        connection.sendall(query(service.token))
        while b"abc" not in connection.recv(65536):
            pass
    assert service.querying.answer.closed.wait(15)


def test_the_work_is_stopped_also_when_the_reader_leaves_before_the_first_byte(
    service: Any,
) -> None:
    service.querying.let.clear()
    with socket.create_connection(service.address, timeout=20) as connection:
        connection.sendall(query(service.token))
        assert service.querying.begun.acquire(timeout=15)
    assert service.querying.stopped.wait(15)


def test_a_failure_before_the_first_byte_has_its_own_status(client: Client, service: Any) -> None:
    service.querying.answer = QueryFailed("The statement divides by zero.", next_step="Use nullif.")
    with pytest.raises(MarketplaceProblem) as caught:
        client.query("SELECT 1/0")
    assert (caught.value.status, caught.value.exit_code) == (422, 2)
    assert caught.value.type == "/problems/query-failed"
    assert caught.value.next_step == "Use nullif."


def test_a_busy_service_says_when_to_come_back(service: Any) -> None:
    service.querying.answer = ServiceBusy("Every worker is taken.")
    head = service.exchange(query(service.token)).partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 503")
    assert b"\r\nretry-after: 5" in head


def test_the_client_reads_a_whole_result_with_its_record(
    client: Client, service: Any, delivery: Any
) -> None:
    service.querying.answer = delivery(arrow()[:100], arrow()[100:])
    result = client.query("SELECT 1")
    assert result.entry == "e" * 32
    assert result.releases == {"mhclg.homes": 3}
    assert result.to_arrow().column("n").to_pylist() == [0, 1, 2]
    with pytest.raises(ResultConsumed):
        result.to_arrow()


@pytest.mark.parametrize("given", [0, 5, 200, -20, None])
def test_the_client_never_takes_a_cut_result_for_a_table(
    client: Client, service: Any, delivery: Any, given: int | None
) -> None:
    """Cut before, inside and after Arrow's own end mark: a whole-looking stream is no whole answer."""
    service.querying.answer = delivery(arrow()[:given] or b" ", then=BROKEN)
    result = client.query("SELECT 1")
    with pytest.raises(StreamCut) as caught:
        result.to_arrow()
    assert caught.value.exit_code == 8


def test_batches_raise_at_the_cut_and_not_before(
    client: Client, service: Any, delivery: Any
) -> None:
    service.querying.answer = delivery(arrow(), then=BROKEN)
    batches = client.query("SELECT 1").batches()
    assert [next(batches).num_rows, next(batches).num_rows] == [2, 1]
    with pytest.raises(StreamCut):
        next(batches)


def test_closing_a_result_stops_the_work(client: Client, service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(arrow()[:100], wait=True)
    client.query("SELECT 1").close()
    assert service.querying.answer.closed.wait(15)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".arrow", ".json", ".jsonl"])
def test_a_cut_download_leaves_no_file(
    client: Client, service: Any, delivery: Any, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    service.querying.answer = delivery(arrow(), then=BROKEN)
    with pytest.raises(StreamCut):
        client.download("SELECT 1", folder / f"homes{ending}")
    assert list(folder.iterdir()) == []


def test_a_cut_download_leaves_the_file_that_was_there(
    client: Client, service: Any, delivery: Any, tmp_path: Path
) -> None:
    path = tmp_path / "homes.csv"
    path.write_text("older")
    service.querying.answer = delivery(b"newer", then=BROKEN)
    with pytest.raises(StreamCut):
        client.pull("mhclg.homes", path)
    assert path.read_text() == "older"


def test_a_download_is_whole_private_and_tells_its_progress(
    client: Client, service: Any, delivery: Any, tmp_path: Path
) -> None:
    service.querying.answer = delivery(arrow())
    told: list[int] = []
    path = client.pull(
        "mhclg.homes.homes", tmp_path / "homes.arrow", progress=lambda done, _: told.append(done)
    )
    assert pa.ipc.open_file(path).read_all().num_rows == 3
    assert path.stat().st_mode & 0o077 == 0
    assert told[-1] == len(arrow())
    assert service.querying.asked[0][1] == 'SELECT * FROM "mhclg"."homes"."homes"'


def test_arrow_is_not_packed_on_its_way_inside_this_machine(
    client: Client, service: Any, delivery: Any
) -> None:
    service.querying.answer = delivery(arrow())
    client.query("SELECT 1").to_arrow()
    assert service.querying.asked[0][2] == Encoding(OutputFormat.ARROW)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_arrow_is_packed_as_the_client_asks(
    service: Any, delivery: Any, tmp_path: Path, codec: Any
) -> None:
    packed = Encoding(OutputFormat.ARROW, Compression(codec))
    with connect(service.url, token=service.token, compression=codec) as client:
        service.querying.answer = delivery(arrow(1000, packed=codec))
        assert client.query("SELECT 1").to_arrow().column("n").to_pylist() == list(range(1000))
        service.querying.answer = delivery(arrow(1000, packed=codec))
        path = client.download("SELECT 1", tmp_path / "homes.arrow")
        assert pa.ipc.open_file(path).read_all().num_rows == 1000
    assert [asked[2] for asked in service.querying.asked] == [packed, packed]


def test_a_packed_result_says_so(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc")
    accept = 'application/vnd.apache.arrow.stream; codecs="zstd"'
    head = service.exchange(query(service.token, accept)).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\ncontent-type: application/vnd.apache.arrow.stream; codecs=zstd\r\n" in head


def test_the_clients_values_travel_as_one_row_of_their_own_types(
    client: Client, service: Any, delivery: Any
) -> None:
    values = [1, 2.5, "x", None, True, date(2026, 11, 22), Decimal("1.50"), b"\x00\xff", [1, 2]]
    service.querying.answer = delivery(arrow())
    client.query("SELECT ?", values).to_arrow()
    [row] = pa.ipc.open_stream(service.querying.parameters).read_all().to_pylist()
    assert list(row.values()) == values


def test_a_value_without_a_type_is_refused_before_anything_is_sent(
    client: Client, service: Any
) -> None:
    with pytest.raises(InvalidCall):
        client.query("SELECT ?", [object()])
    assert service.querying.asked == []


def test_values_in_json_are_passed_on_as_arrow(service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"abc")
    body = b'{"sql": "SELECT ?", "parameters": [1, 2.5, "E08000019", null, false]}'
    service.exchange(query(service.token, body=body))
    table = pa.ipc.open_stream(service.querying.parameters).read_all()
    assert [str(kind) for kind in table.schema.types] == [
        "int64",
        "double",
        "string",
        "null",
        "bool",
    ]
    assert [column.to_pylist() for column in table.columns] == [
        [1],
        [2.5],
        ["E08000019"],
        [None],
        [False],
    ]


@pytest.mark.parametrize(
    "values", [b"[9223372036854775808]", b"[{}]", b"[[1]]", b"3", b'"***"', b"[1e999]"]
)
def test_values_that_cannot_be_bound_are_malformed(service: Any, values: bytes) -> None:
    body = b'{"sql": "SELECT ?", "parameters": ' + values + b"}"
    assert service.exchange(query(service.token, body=body)).startswith(b"HTTP/1.1 400")
    assert service.querying.asked == []


def test_a_stream_of_bytes_is_whole_or_raises(client: Client, service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(b"a,b\n", b"1,2\n")
    with client.stream("SELECT 1", "csv") as body:
        assert body.read() == b"a,b\n1,2\n"
    service.querying.answer = delivery(b"a,b\n", then=BROKEN)
    with client.stream("SELECT 1", "csv") as body, pytest.raises(StreamCut):
        body.read()
    service.querying.answer = delivery(b"a,b\n", then=BROKEN)
    with client.stream("SELECT 1", "csv") as body, pytest.raises(StreamCut):
        list(iter(lambda: body.read_some(100), b""))


def test_a_result_goes_to_polars_and_pandas(client: Client, service: Any, delivery: Any) -> None:
    service.querying.answer = delivery(arrow())
    assert client.query("SELECT 1").to_polars()["n"].to_list() == [0, 1, 2]
    service.querying.answer = delivery(arrow())
    assert client.query("SELECT 1").to_pandas()["n"].tolist() == [0, 1, 2]
