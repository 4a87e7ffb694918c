"""An extract: Parquet that holds exactly the rows and columns of one agreement's scope.

What a caller may not see is not in the file, not in its statistics, and not in the order of its
rows, which the visible columns alone decide.
"""

from pathlib import Path

import msgspec

from marketplace.engine.limits import Limits
from marketplace.engine.process import perform
from marketplace.engine.roles import Role
from marketplace.engine.written_file import WrittenFile


class EveryRow(msgspec.Struct, frozen=True, tag="every_row"):
    """No row is left out."""


class RowsAmong(msgspec.Struct, frozen=True, tag="rows_among"):
    """The rows whose `column`, written as text, is one of `values`; never those without a value."""

    column: str
    values: frozenset[str]


ResolvedRows = EveryRow | RowsAmong


class ExtractRequest(msgspec.Struct, frozen=True):
    """What the confined process is asked to write."""

    files: tuple[str, ...]
    columns: tuple[str, ...]
    rows: ResolvedRows
    into: str


class Extracted(msgspec.Struct, frozen=True):
    """What it has written."""

    files: tuple[WrittenFile, ...]


def build_extract(
    files: tuple[Path, ...],
    *,
    columns: tuple[str, ...],
    rows: ResolvedRows,
    into: Path,
    limits: Limits,
    deadline: float | None = None,
) -> tuple[WrittenFile, ...]:
    """Write the extract of a table's `files` into the folder `into`, which must be empty.

    `columns` are written in this order; the row scope's column need not be among them. What does
    not fit into memory is spilled to a private folder in `into`, gone afterwards. Raises
    QueryFailed where a column is not in the files, QueryTimedOut, QueryTooLarge and WorkerLost;
    what lies in `into` then is to be thrown away.
    """
    request = ExtractRequest(
        files=tuple(str(path.resolve()) for path in files),
        columns=columns,
        rows=rows,
        into=str(into.resolve()),
    )
    if deadline is not None:
        limits = msgspec.structs.replace(limits, deadline=deadline)
    end = perform(Role.EXTRACT, request, read=files, write=(into,), limits=limits, scratch=into)
    return msgspec.msgpack.decode(end, type=Extracted, dec_hook=_path).files


def _path(kind: type, value: object) -> object:
    return kind(value)
