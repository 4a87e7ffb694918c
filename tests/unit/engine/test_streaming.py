"""A result leaves as it is made, in pieces of bounded size, whatever its rows are like."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from marketplace.engine.frames import Frame, FrameKind, Output, read_frame
from marketplace.engine.query.encode import _ROWS, encode
from marketplace.engine.query.query_messages import Compression, Encoding, OutputFormat

STREAMED = [
    Encoding(OutputFormat.ARROW),
    Encoding(OutputFormat.ARROW, Compression.ZSTD),
    Encoding(OutputFormat.CSV),
    Encoding(OutputFormat.JSON),
    Encoding(OutputFormat.JSON_LINES),
]


class Sink(Output):
    """Keeps what is sent instead of sending it."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.sent: list[bytes] = []

    def _send(self, waiting: list[memoryview]) -> None:
        header, *pieces = waiting
        assert header[0] == FrameKind.DATA
        self.sent.append(b"".join(pieces))


class Relation:
    """A result of one column of text whose second batch looks whether the first has left."""

    columns = ("text",)
    types = (SimpleNamespace(id="varchar"),)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.sent_before_the_second: list[bytes] = []

    def project(self, _: str) -> "Relation":
        return self

    def to_arrow_reader(self, _: int) -> Any:
        schema = pa.schema([("text", pa.string())])
        return pa.RecordBatchReader.from_batches(schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"text": ['{"first": 1}'] * _ROWS})
        self.sent_before_the_second = list(self._sink.sent)
        yield pa.record_batch({"text": ['{"second": 2}']})


@pytest.mark.parametrize("encoding", STREAMED, ids=str)
def test_the_first_rows_have_left_before_the_next_are_computed(encoding: Encoding) -> None:
    sink = Sink()
    relation = Relation(sink)
    encode(relation, encoding, sink)  # type: ignore[arg-type]
    first = b"".join(relation.sent_before_the_second)
    if encoding.compression is Compression.NONE:
        assert b"first" in first
    assert b"second" not in first
    assert len(first) > 0


def test_what_follows_at_once_leaves_in_large_pieces() -> None:
    sink = Sink()
    encode(duckdb.sql("SELECT i FROM range(2000000) t(i)"), Encoding(OutputFormat.ARROW), sink)
    sink.flush()
    assert len(b"".join(sink.sent)) > 16_000_000
    assert len(sink.sent) < 60


def test_an_answer_after_another_leaves_its_first_rows_at_once_too() -> None:
    sink = Sink()
    for _ in range(2):
        sink.sent.clear()
        relation = Relation(sink)
        encode(relation, Encoding(OutputFormat.CSV), sink)  # type: ignore[arg-type]
        assert relation.sent_before_the_second
        sink.discard()


def test_a_row_group_of_wide_rows_is_bounded_by_bytes() -> None:
    sink = Sink()
    wide = duckdb.sql("SELECT i, repeat(CAST(i AS VARCHAR), 2000) AS text FROM range(20000) t(i)")
    encode(wide, Encoding(OutputFormat.PARQUET), sink)
    sink.flush()
    metadata = parquet.ParquetFile(pa.BufferReader(b"".join(sink.sent))).metadata
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    assert metadata.num_rows == 20_000
    assert len(groups) > 3
    assert max(group.total_byte_size for group in groups) < 40 * 1024**2


def test_a_row_group_of_narrow_rows_is_as_large_as_duckdb_writes_it() -> None:
    sink = Sink()
    encode(duckdb.sql("SELECT i FROM range(300000) t(i)"), Encoding(OutputFormat.PARQUET), sink)
    sink.flush()
    metadata = parquet.ParquetFile(pa.BufferReader(b"".join(sink.sent))).metadata
    assert [metadata.row_group(n).num_rows for n in range(3)] == [114_688, 114_688, 70_624]


@pytest.mark.parametrize("encoding", STREAMED, ids=str)
def test_no_frame_is_larger_than_eight_mebibytes(encoding: Encoding) -> None:
    sink = Sink()
    encode(duckdb.sql("SELECT repeat('wide', 10000) AS t FROM range(1000)"), encoding, sink)
    sink.flush()
    assert max(map(len, sink.sent)) <= 8 * 1024**2


def test_a_small_result_and_its_end_leave_together() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    encode(duckdb.sql("SELECT 42 AS answer"), Encoding(OutputFormat.CSV), output)
    assert output.taken == len(b'"answer"\n42\n')
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    output.end(b"the end")
    assert output.taken == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        assert read_frame(source) == Frame(FrameKind.LAST, b'"answer"\n42\n')
        assert read_frame(source) == Frame(FrameKind.END, b"the end")
        assert read_frame(source) is None


def test_a_batch_of_more_than_a_mebibyte_is_a_frame_of_its_own() -> None:
    sink = Sink()
    wide = "repeat(CAST(i AS VARCHAR), 20)"
    rows = duckdb.sql(f"SELECT {wide} AS a, {wide} AS b FROM range(100000) t(i)")
    encode(rows, Encoding(OutputFormat.ARROW), sink)
    sink.flush()
    with pa.ipc.open_stream(b"".join(sink.sent)) as reader:
        schema, batches = reader.schema, list(reader)
    largest = max(batch.nbytes for batch in batches)
    assert largest > 1024**2
    begun = len(schema.serialize())
    read = [
        pa.ipc.read_record_batch(pa.py_buffer(frame[begun if n == 0 else 0 :]), schema).num_rows
        for n, frame in enumerate(sink.sent[: len(batches)])
    ]
    assert read == [batch.num_rows for batch in batches]
