"""Inside an extract worker: write the rows and columns of one scope, and nothing that tells more."""

from pathlib import Path

import msgspec

from catalogue.errors import Problem
from marketplace.engine.engine_errors import ENGINE_ERRORS, told
from marketplace.engine.extract import masked_columns, row_conditions
from marketplace.engine.extract.extract_messages import (
    Extracted,
    ExtractProgress,
    ExtractRequest,
)
from marketplace.engine.frames import Output
from marketplace.engine.instance import identifier, literal, open_instance, scan
from marketplace.engine.limits import Limits
from marketplace.engine.progress import run_reporting
from marketplace.engine.written_file import WrittenFile, digest
from marketplace.errors import QueryFailed, QueryTooLarge

_ROWS_OF_A_GROUP = 122_880


class ExtractWorker:
    """Writes one extract."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._instance = open_instance(limits, scratch)
        # By it DuckDB writes a column as one that is never empty where that holds of all rows of
        # the table: the schema of an extract would tell of rows that are left out.
        self._instance.execute("SET disabled_optimizers = 'statistics_propagation'")

    def perform(self, request: bytes, output: Output) -> Extracted:
        """Write it and describe it."""
        message = msgspec.msgpack.decode(request, type=ExtractRequest)
        path = Path(message.into) / "extract.parquet"
        try:
            types = self._types(message.files)
            self._take_keys(message)
            copied = run_reporting(
                self._instance,
                statement(message, types, path),
                lambda share: output.note(ExtractProgress(share)),
            )
        except ENGINE_ERRORS as error:
            raise _untold(error) from None
        written = WrittenFile(
            path=path,
            sha256=digest(path),
            bytes=path.stat().st_size,
            rows=int(copied[0]) if copied else 0,
        )
        return Extracted(files=(written,))

    def fit(self) -> bool:
        """One extract a process."""
        return False

    def _types(self, files: tuple[str, ...]) -> dict[str, str]:
        described = self._instance.execute(f"DESCRIBE FROM {scan(files)}").fetchall()
        return {row[0]: row[1] for row in described}

    def _take_keys(self, message: ExtractRequest) -> None:
        """Keys are variables, never text of a statement: an error may quote its statement."""
        for number, column in enumerate(message.columns):
            if column.key is not None:
                for part, padded in zip(
                    ("inner", "outer"), masked_columns.padded_keys(column.key.value), strict=True
                ):
                    name = f"{_variables(number)}_{part}"
                    self._instance.execute(f"SET VARIABLE {name} = $1::BLOB", [padded])


def open_worker(limits: Limits, scratch: Path) -> ExtractWorker:
    """A worker that waits for its request."""
    return ExtractWorker(limits, scratch)


def statement(message: ExtractRequest, types: dict[str, str], path: Path) -> str:
    """The COPY that writes the extract.

    The order is by all that is visible, as it is shown: the order of the file that it comes from
    would tell of values that are not in it.
    """
    for name in (*(one.name for one in message.columns), *(c.column for c in message.conditions)):
        if name not in types:
            raise QueryFailed(f"The files have no column {name!r}.")
    columns = ", ".join(
        f"{masked_columns.shown(one, types[one.name], hashed_by=_variables(number))} "
        f"AS {identifier(one.name)}"
        for number, one in enumerate(message.columns)
    )
    select = f"SELECT {columns} FROM {scan(message.files)}"
    if message.conditions:
        met = (row_conditions.where(one, types[one.column]) for one in message.conditions)
        select += " WHERE " + " AND ".join(f"({condition})" for condition in met)
    names = [identifier(one.name) for one in message.columns]
    tied = (
        masked_columns.ties(name, one.mask, types[one.name])
        for name, one in zip(names, message.columns, strict=True)
    )
    order = ", ".join((*names, *(tie for tie in tied if tie is not None)))
    return (
        f"COPY (SELECT * FROM ({select}) ORDER BY {order}) TO {literal(str(path))} "
        f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {_ROWS_OF_A_GROUP})"
    )


def _untold(error: BaseException) -> Problem:
    """What failed, without the engine's own words: they may quote a value that is not agreed."""
    problem = told(error, {})
    if isinstance(problem, QueryTooLarge):
        return problem
    return QueryFailed(
        "The extract of a table could not be written.",
        next_step="Tell the operator; the table or the agreement has something unforeseen.",
    )


def _variables(number: int) -> str:
    return f"key_{number}"
