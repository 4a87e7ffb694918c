"""Turn a publisher's file into release files, in a confined process.

The file is hostile, and so may be the process that has read it: what it answers is checked before
anything is done with it.
"""

import re
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from catalogue.address import check_identifier
from catalogue.errors import InvalidAddress
from catalogue.table_schema import TableSchema
from marketplace.engine.ingest.ingest_job import (
    DateOrder,
    Ingested,
    IngestOptions,
    IngestRequest,
    Progress,
)
from marketplace.engine.limits import Limits
from marketplace.engine.process import perform
from marketplace.engine.roles import Role
from marketplace.engine.spare import Spare
from marketplace.engine.written_file import WrittenFile
from marketplace.errors import FileUnreadable, QueryTimedOut, QueryTooLarge, WorkerLost

__all__ = ["DateOrder", "IngestOptions", "Ingested", "Progress", "ingest"]

_LAST_LINE = 2**31
_TYPE = re.compile(r"[A-Z][A-Z_ 0-9]{0,40}|DECIMAL\([0-9]{1,2},[0-9]{1,2}\)")


def ingest(
    file: Path,
    *,
    name: str,
    into: Path,
    contract: TableSchema | None,
    options: IngestOptions,
    limits: Limits,
    progress: Callable[[Progress], None],
    spare: Spare | None = None,
) -> Ingested:
    """Read `file`, called `name` by its publisher, into Parquet files in the empty folder `into`.

    With a contract the table has its columns in its order and types, then any added ones. Raises
    FileUnreadable, ContractBroken (both with `lines`), WorkerLost and ConfinementMissing; what lies
    in `into` then is to be thrown away. `progress` is called on this thread. `spare` gives the
    process, of the role INGEST and with the same limits; without, one is started.
    """
    _check_lines(options)
    request = IngestRequest(
        file=str(file.resolve()),
        name=name,
        into=str(into.resolve()),
        contract=contract,
        options=options,
    )

    def tell(note: bytes) -> None:
        try:
            progress(msgspec.msgpack.decode(note, type=Progress))
        except msgspec.DecodeError:
            raise _untrue() from None

    try:
        end = perform(
            Role.INGEST,
            request,
            read=(file,),
            write=(into,),
            limits=limits,
            scratch=into,
            process=spare.take() if spare else None,
            on_note=tell,
        )
    except QueryTooLarge:
        raise FileUnreadable(
            f"Reading the file needed more than {limits.memory // 1024**2} MiB of memory.",
            next_step="Publish it in parts, with fewer columns, or save a workbook as CSV.",
        ) from None
    except QueryTimedOut:
        raise FileUnreadable(
            f"Reading the file took more than {limits.deadline:g} seconds.",
            next_step="Publish it in parts.",
        ) from None
    try:
        ingested = msgspec.msgpack.decode(end, type=Ingested, dec_hook=_path)
    except msgspec.DecodeError:
        raise _untrue() from None
    _check(ingested, into.resolve(), contract)
    return ingested


def _check_lines(options: IngestOptions) -> None:
    """Raise FileUnreadable for a line that no file has and no message to the process can hold."""
    for name in ("header_line", "last_line"):
        line = getattr(options, name)
        if line is not None and not 1 <= line <= _LAST_LINE:
            raise FileUnreadable(
                f"{name} is not a line that a file can have: they count from 1 to {_LAST_LINE:,}.",
                next_step=f"Set {name} to a line of the file, or leave it out.",
            )


def _check(ingested: Ingested, into: Path, contract: TableSchema | None) -> None:
    """Raise WorkerLost where the answer cannot be that of an honest process."""
    names = ingested.schema.names
    kept = contract.columns if contract else ()
    honest = (
        all(_is_ours(file, into) and file.rows >= 0 for file in ingested.files)
        and sum(file.rows for file in ingested.files) == ingested.rows
        and len(set(names)) == len(names) > 0
        and all(_TYPE.fullmatch(column.type) for column in ingested.schema.columns)
        and ingested.schema.columns[: len(kept)] == kept
        and set(ingested.schema.sort) <= set(names)
    )
    try:
        for name in names[len(kept) :]:
            check_identifier(name)
    except InvalidAddress:
        honest = False
    if not honest:
        raise _untrue()


def _is_ours(file: WrittenFile, into: Path) -> bool:
    """Whether it is a plain file, directly in the folder that it was to be written to."""
    if file.path.parent != into or file.path.name in ("", ".", ".."):
        return False
    try:
        found = file.path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == file.bytes


def _untrue() -> WorkerLost:
    return WorkerLost(
        "The process that read the file gave an answer that cannot be true.",
        next_step="Tell the operator, and keep the file.",
    )


def _path(kind: type, value: object) -> object:
    return kind(value)
