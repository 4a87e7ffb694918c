"""The pairs of an effect as a file, piece by piece: Arrow, Parquet, CSV, JSON or JSON lines."""

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from marketplace.engine.query.query_messages import Compression, Encoding, OutputFormat
from marketplace.rollout.effect import Effect

_ROWS_AT_ONCE = 20_000
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("kind", pa.string()),
        ("party", pa.string()),
        ("audience", pa.string()),
        ("change", pa.string()),
        ("access", pa.string()),
        ("rule", pa.string()),
        ("grant", pa.string()),
    ]
)
"""One row for each pair: `change` is opens or closes, `access` is readable or askable."""


def written(effect: Effect, encoding: Encoding) -> Iterator[bytes]:
    """The pairs in a format, in the order of parties and then of datasets."""
    if encoding.format is OutputFormat.JSON_LINES:
        yield from (b"".join(_json(row) + b"\n" for row in rows) for rows in _batches(effect))
    elif encoding.format is OutputFormat.JSON:
        yield from _array(effect)
    else:
        yield from _tabular(effect, encoding)


def _array(effect: Effect) -> Iterator[bytes]:
    before = b"["
    for rows in _batches(effect):
        yield before + b",".join(map(_json, rows))
        before = b","
    yield b"]" if before == b"," else b"[]"


def _tabular(effect: Effect, encoding: Encoding) -> Iterator[bytes]:
    sink = _Sink()
    with _writer(sink, encoding) as writer:
        for rows in _batches(effect):
            columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
            yield sink.taken()
    yield sink.taken()


def _writer(sink: "_Sink", encoding: Encoding) -> Any:
    match encoding.format:
        case OutputFormat.ARROW:
            packed = None if encoding.compression is Compression.NONE else encoding.compression
            options = pa.ipc.IpcWriteOptions(compression=packed)
            return pa.ipc.new_stream(sink, SCHEMA, options=options)
        case OutputFormat.PARQUET:
            return pa.parquet.ParquetWriter(sink, SCHEMA)
        case OutputFormat.CSV:
            return pa.csv.CSVWriter(sink, SCHEMA)
        case OutputFormat.JSON | OutputFormat.JSON_LINES:
            raise ValueError("text is written without a writer")


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken; positions go on counting."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        """What was written since the last time."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


def _batches(effect: Effect) -> Iterator[Sequence[tuple[str, ...]]]:
    rows = (
        (
            pair.dataset,
            pair.party.kind.value,
            pair.party.name,
            pair.party.audience.name.lower(),
            "opens" if pair.opens else "closes",
            "readable" if pair.readable else "askable",
            pair.rule,
            pair.grant,
        )
        for pair in effect.pairs()
    )
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch


def _json(row: tuple[str, ...]) -> bytes:
    return msgspec.json.encode(dict(zip(SCHEMA.names, row, strict=True)))
