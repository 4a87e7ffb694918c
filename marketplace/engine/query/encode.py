"""A result written as it comes, in one of five formats, without ever holding all of it.

The statement itself runs as it was written. What a format cannot carry is put into words by a
projection over its result, in DuckDB, so that it runs on all threads; the README lists how each
format writes each type.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import msgspec
import pyarrow as pa
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from pyarrow import csv, ipc, parquet

from marketplace.engine.frames import Output
from marketplace.engine.instance import identifier
from marketplace.engine.query.query_messages import Compression, Encoding, OutputFormat
from marketplace.errors import QueryTooLarge

# DuckDB gathers so many rows before it gives any: four times as many were no faster, and took four
# times the memory where rows are wide.
_ROWS = 16_384
_ROWS_OF_A_GROUP = 122_880
_BYTES_OF_A_GROUP = 32 * 1024**2  # before they are packed
_MOST_BYTES = 8 * 1024**2  # of a batch: common Arrow Flight clients refuse messages over 16 MiB
_FORMULA = r"^[=+\-@\t\r]"

_WHOLE = ("tinyint", "smallint", "integer", "bigint", "hugeint")
_NUMBERS = frozenset({"boolean", "float", "double", "decimal", *_WHOLE, *(f"u{n}" for n in _WHOLE)})
_NESTED = frozenset({"list", "array", "struct", "map", "union", "variant"})
_TIMESTAMPS = frozenset({"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"})
_TIMESTAMP_TZ = "timestamp with time zone"
# DuckDB gives these to Arrow in encodings of its own, or loses a part (the zone of a time).
_WITHOUT_ARROW = frozenset({"bit", "bignum", "geometry", "time with time zone"})
_WITHOUT_PARQUET = _WITHOUT_ARROW | {"interval"}


def encode(
    relation: DuckDBPyRelation, encoding: Encoding, output: Output, most_rows: int | None = None
) -> int:
    """Run the relation and write its rows to `output`; returns how many there were.

    Raises QueryTooLarge in place of the rows that would be more than `most_rows`.
    """
    match encoding.format:
        case OutputFormat.ARROW:
            return _write_arrow(relation, output, most_rows, encoding.compression)
        case OutputFormat.PARQUET:
            return _write_parquet(relation, output, most_rows)
        case OutputFormat.CSV:
            return _write_csv(relation, output, most_rows)
        case OutputFormat.JSON:
            return _write_json(relation, output, most_rows)
        case OutputFormat.JSON_LINES:
            return _write_json_lines(relation, output, most_rows)


def write_schema(cursor: DuckDBPyConnection, relation: DuckDBPyRelation, output: Output) -> None:
    """Write the schema of `relation` as Arrow, as `encode` would, and no rows: nothing of it is run.

    Its types alone are asked again, without a row; even asking `relation` for no rows would compute
    its constants.
    """
    columns = zip(relation.columns, relation.types, strict=True)
    types = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in columns)
    nothing = cursor.sql(f"SELECT {types} LIMIT 0")
    schema = _project(nothing, _arrow_cell).to_arrow_table().schema
    ipc.new_stream(pa.PythonFile(output, mode="w"), schema).close()


def _write_arrow(
    relation: DuckDBPyRelation, output: Output, most_rows: int | None, compression: Compression
) -> int:
    reader = _project(relation, _arrow_cell).to_arrow_reader(_ROWS)
    codec = None if compression is Compression.NONE else compression.value
    options = ipc.IpcWriteOptions(compression=codec)
    rows = 0
    sink = pa.PythonFile(output, mode="w")
    with ipc.new_stream(sink, reader.schema, options=options) as writer:
        for batch in _within(reader, most_rows):
            rows += batch.num_rows
            for part in _parts(batch):
                writer.write_batch(part)
            _offer(output, batch)
    return rows


def _write_parquet(relation: DuckDBPyRelation, output: Output, most_rows: int | None) -> int:
    reader = _project(relation, _parquet_cell).to_arrow_reader(_ROWS)
    rows = 0
    sink = pa.PythonFile(output, mode="w")
    with parquet.ParquetWriter(sink, reader.schema, compression="zstd") as writer:
        for group in _row_groups(_within(reader, most_rows)):
            rows += group.num_rows
            writer.write_table(group)
            _offer(output, group)
    return rows


def _write_csv(relation: DuckDBPyRelation, output: Output, most_rows: int | None) -> int:
    reader = _project(relation, _csv_cell, _harmless).to_arrow_reader(_ROWS)
    rows = 0
    with csv.CSVWriter(pa.PythonFile(_Copying(output), mode="w"), reader.schema) as writer:
        for batch in _within(reader, most_rows):
            rows += batch.num_rows
            writer.write_batch(batch)
            _offer(output, batch)
    return rows


def _write_json(relation: DuckDBPyRelation, output: Output, most_rows: int | None) -> int:
    columns = [
        {"name": name, "type": str(kind)}
        for name, kind in zip(relation.columns, relation.types, strict=True)
    ]
    cells = ", ".join(_json_cell(f"#{n}", kind) for n, kind in enumerate(relation.types, 1))
    reader = relation.project(f"CAST(json_array({cells}) AS VARCHAR) AS row").to_arrow_reader(_ROWS)
    output.write(b'{"columns": ' + msgspec.json.encode(columns) + b', "rows": [')
    rows = 0
    for batch in _within(reader, most_rows):
        for part in _parts(batch):
            text = ",\n".join(map(_standard_json, part.column(0).to_pylist()))
            output.write((("\n" if rows == 0 else ",\n") + text).encode())
            rows += part.num_rows
        _offer(output, batch)
    output.write(b"\n]}\n")
    return rows


def _write_json_lines(relation: DuckDBPyRelation, output: Output, most_rows: int | None) -> int:
    names = _distinct(relation.columns)
    members = ", ".join(
        f"{_literal(name)}, {_json_cell(f'#{n}', kind)}"
        for n, (name, kind) in enumerate(zip(names, relation.types, strict=True), 1)
    )
    line = f"CAST(json_object({members}) AS VARCHAR) AS line"
    rows = 0
    reader = relation.project(line).to_arrow_reader(_ROWS)
    for batch in _within(reader, most_rows):
        for part in _parts(batch):
            lines = map(_standard_json, part.column(0).to_pylist())
            output.write("".join(f"{line}\n" for line in lines).encode())
        rows += batch.num_rows
        _offer(output, batch)
    return rows


def _offer(output: Output, written: Any) -> None:
    """Let go what is written, unless it is the end, which leaves together with the word that it is.

    DuckDB fills every batch but the last; where it gathers the branches of a UNION ALL one by one,
    the last of each, whose rows then leave with the next batch.
    """
    if written.num_rows >= _ROWS:
        output.offer()


def _distinct(names: list[str]) -> list[str]:
    """Names for the members of an object, where a result may give several columns one name.

    >>> _distinct(["a", "a", "a_1"])
    ['a', 'a_2', 'a_1']
    """
    given, taken = set(names), set[str]()
    for place, name in enumerate(names):
        if name in taken:
            numbered = (f"{name}_{number}" for number in count(1))
            name = next(other for other in numbered if other not in given | taken)
            names = [*names[:place], name, *names[place + 1 :]]
        taken.add(name)
    return names


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _within(reader: Any, most_rows: int | None) -> Iterator[Any]:
    """The batches as they come, while they are of at most so many rows together."""
    rows = 0
    for batch in reader:
        rows += batch.num_rows
        if most_rows is not None and rows > most_rows:
            raise QueryTooLarge(
                f"The result has more than {most_rows:,} rows, the most that the agreement lets "
                "out at once.",
                next_step="Ask for fewer rows, or for an aggregate.",
            )
        yield batch


def _parts(batch: Any) -> Iterator[Any]:
    """Cut a batch of wide rows into ones of bounded bytes."""
    pieces = max(1, -(-batch.nbytes // _MOST_BYTES))
    size = max(1, -(-batch.num_rows // pieces))
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


def _row_groups(batches: Iterable[Any]) -> Iterator[Any]:
    """The rows as tables, each of bounded rows and bytes: a row group is held whole."""
    gathered: list[Any] = []
    rows = size = 0
    for part in (part for batch in batches for part in _parts(batch)):
        if gathered and (
            rows + part.num_rows > _ROWS_OF_A_GROUP or size + part.nbytes > _BYTES_OF_A_GROUP
        ):
            yield pa.Table.from_batches(gathered)
            gathered, rows, size = [], 0, 0
        gathered.append(part)
        rows += part.num_rows
        size += part.nbytes
    if gathered:
        yield pa.Table.from_batches(gathered)


def _project(relation: DuckDBPyRelation, cell: Any, heading: Any = str) -> DuckDBPyRelation:
    """The relation with each column as `cell` writes it; itself where nothing is to change."""
    before = [f"#{n}" for n in range(1, len(relation.columns) + 1)]
    after = [cell(text, kind) for text, kind in zip(before, relation.types, strict=True)]
    names = [heading(name) for name in relation.columns]
    if after == before and names == relation.columns:
        return relation
    named = (f"{text} AS {identifier(name)}" for text, name in zip(after, names, strict=True))
    return relation.project(", ".join(named))


def _arrow_cell(cell: str, kind: Any) -> str:
    if kind.id == "variant":
        return f"CAST(to_json({cell}) AS VARCHAR)"
    return f"CAST({cell} AS VARCHAR)" if kind.id in _WITHOUT_ARROW else cell


def _parquet_cell(cell: str, kind: Any) -> str:
    if kind.id in ("variant", "union"):
        return f"CAST(to_json({cell}) AS VARCHAR)"
    return f"CAST({cell} AS VARCHAR)" if kind.id in _WITHOUT_PARQUET else cell


def _csv_cell(cell: str, kind: Any) -> str:
    if kind.id in _NUMBERS:
        return cell
    text = f"to_json({cell})" if kind.id in _NESTED else _text(cell, kind)
    text = f"CAST({text} AS VARCHAR)"
    return f"CASE WHEN regexp_matches({text}, '{_FORMULA}') THEN '''' || {text} ELSE {text} END"


def _json_cell(cell: str, kind: Any) -> str:
    written = kind.id in _TIMESTAMPS or kind.id in (_TIMESTAMP_TZ, "blob")
    return _text(cell, kind) if written else cell


def _text(cell: str, kind: Any) -> str:
    """Times as ISO 8601 (with Z where they have a zone: the session is in UTC), bytes as base64."""
    if kind.id == "blob":
        return f"base64({cell})"
    if kind.id in _TIMESTAMPS:
        return f"regexp_replace(CAST({cell} AS VARCHAR), ' ', 'T')"
    if kind.id == _TIMESTAMP_TZ:
        return f"regexp_replace({_text(cell, _Naive)}, '[+]00$', 'Z')"
    return f"CAST({cell} AS VARCHAR)"


class _Naive:
    id = "timestamp"


def _harmless(heading: str) -> str:
    """A heading that no spreadsheet takes for a formula; cells are treated the same way in SQL."""
    return f"'{heading}" if heading.startswith(("=", "+", "-", "@", "\t", "\r")) else heading


def _standard_json(row: str) -> str:
    """DuckDB writes NaN and Infinity, which JSON does not have: null."""
    if "NaN" not in row and "Infinity" not in row:
        return row
    return json.dumps(json.loads(row, parse_constant=lambda _: None), ensure_ascii=False)


class _Copying:
    """Arrow's CSV writer uses its buffer again, so what it writes must be copied at once."""

    closed = False

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, data: memoryview) -> int:
        return self._output.write(bytes(data))

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The output is closed by its owner."""
