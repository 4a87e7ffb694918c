"""Files are read in a confined process, and what it answers is not believed."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from catalogue.dataset import ColumnStatistics
from catalogue.errors import ContractBroken
from catalogue.table_schema import Column, TableSchema
from marketplace.engine.ingest import ingest as ingest_module
from marketplace.engine.ingest.ingest import Ingested, IngestOptions, Progress, ingest
from marketplace.engine.limits import Limits
from marketplace.engine.written_file import WrittenFile, digest
from marketplace.errors import FileUnreadable, WorkerLost

LIMITS = Limits(memory=1024**3, deadline=120)


def read(content: bytes, folder: Path, **changes: Any) -> Ingested:
    (folder / "into").mkdir()
    (folder / "sent").write_bytes(content)
    arguments = {
        "name": "payments.csv",
        "into": folder / "into",
        "contract": None,
        "options": IngestOptions(),
        "limits": LIMITS,
        "progress": lambda _: None,
    }
    return ingest(folder / "sent", **(arguments | changes))


def test_a_file_is_read_in_a_process_of_its_own_and_progress_comes_back(tmp_path: Path) -> None:
    told: list[Progress] = []
    content = "name,n\nZoë,1\n".encode("cp1252") + b"x,2\n" * 1_000_000
    ingested = read(content, tmp_path, progress=told.append)
    assert ingested.rows == 1_000_001
    (file,) = ingested.files
    assert file.path == tmp_path / "into" / "table.parquet"
    assert file.sha256 == digest(file.path)
    assert list((tmp_path / "into").iterdir()) == [file.path]
    assert {"checking", "converting", "reading"} >= {progress.stage for progress in told}
    assert told[-1].done_bytes == told[-1].total_bytes


def test_the_checksums_of_parquet_are_verified_in_the_confined_process(tmp_path: Path) -> None:
    stream = io.BytesIO()
    table = pa.table({"a": list(range(200_000)), "b": [f"x{n}" for n in range(200_000)]})
    parquet.write_table(table, stream, write_page_checksum=True, compression="none")
    content = stream.getvalue()
    (tmp_path / "whole").mkdir()
    assert read(content, tmp_path / "whole").rows == 200_000
    value = (123_456).to_bytes(8, "little")
    with pytest.raises(FileUnreadable, match="cut short or damaged"):
        read(content.replace(value, (123_457).to_bytes(8, "little")), tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-15", "utf-16-be"])
def test_every_encoding_is_at_hand_in_the_confined_process(tmp_path: Path, encoding: str) -> None:
    options = IngestOptions(encoding=encoding)
    ingested = read("a,b\né,1\n".encode(encoding), tmp_path, options=options)
    assert ingested.files[0].columns[0].minimum == "é"


def test_what_is_wrong_with_a_file_comes_back_with_its_lines(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read(b"a,b\n1\n", tmp_path)
    assert caught.value.lines == ("line 2: 1 cells, 2 expected",)
    assert caught.value.next_step


def test_a_breach_of_the_contract_comes_back_with_its_lines(tmp_path: Path) -> None:
    contract = TableSchema(columns=(Column(name="a", type="BIGINT"),))
    with pytest.raises(ContractBroken) as caught:
        read(b"a,b\nx,1\n", tmp_path, contract=contract)
    assert caught.value.lines == ("line 2: column \"a\": 'x' is not a whole number",)


def test_a_file_that_takes_too_long_is_stopped_and_said_so(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, deadline=0.001)
    with pytest.raises(FileUnreadable, match=r"more than 0\.001 seconds"):
        read(b"a,b\n" + b"1,2\n" * 2_000_000, tmp_path, limits=limits)


def test_a_file_that_needs_too_much_memory_is_stopped_and_said_so(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, memory=64 * 1024**2)
    with pytest.raises(FileUnreadable, match="more than 64 MiB of memory"):
        read(b"a,b\n" + b"1,2\n" * 2_000_000, tmp_path, limits=limits)


@pytest.mark.parametrize("option", ["header_line", "last_line"])
@pytest.mark.parametrize("line", [0, -1, 2**31 + 1, 10**23])
def test_a_line_that_no_file_has_is_refused_by_name(tmp_path: Path, option: str, line: int) -> None:
    with pytest.raises(FileUnreadable, match=f"{option} is not a line"):
        read(b"a,b\n1,2\n", tmp_path, options=IngestOptions(**{option: line}))


def test_the_last_line_that_can_be_named_is_one(tmp_path: Path) -> None:
    assert read(b"a,b\n1,2\n", tmp_path, options=IngestOptions(last_line=2**31)).rows == 1


HONEST = Ingested(
    schema=TableSchema(columns=(Column(name="a", type="BIGINT"),)),
    files=(),
    notes=(),
    rows=1,
)


def answer(into: Path, **changes: Any) -> Ingested:
    path = into / "table.parquet"
    path.write_bytes(b"PAR1")
    statistics = (ColumnStatistics(name="a", minimum=None, maximum=None, nulls=0),)
    file = WrittenFile(path=path, sha256="0" * 64, bytes=4, rows=1, columns=statistics)
    return msgspec.structs.replace(HONEST, **({"files": (file,)} | changes))


def lies(into: Path) -> dict[str, Ingested]:
    honest = answer(into)
    (file,) = honest.files
    (into / "link.parquet").symlink_to("/etc/hostname")
    size = (into / "link.parquet").stat().st_size
    elsewhere = Path("/etc/hostname")
    outside = msgspec.structs.replace(file, path=elsewhere, bytes=elsewhere.stat().st_size)
    link = msgspec.structs.replace(file, path=into / "link.parquet", bytes=size)
    column = Column(name="a", type="BIGINT")

    def schema(**changes: str) -> TableSchema:
        return TableSchema(columns=(msgspec.structs.replace(column, **changes),))

    return {
        "a file elsewhere": answer(into, files=(outside,)),
        "a link": answer(into, files=(link,)),
        "a size": answer(into, files=(msgspec.structs.replace(file, bytes=5),)),
        "a number of rows": answer(into, rows=2),
        "a type that is SQL": answer(into, schema=schema(type="BIGINT); DROP TABLE x")),
        "a name that is SQL": answer(into, schema=schema(name='a" OR 1=1')),
        "no columns": answer(into, schema=TableSchema(columns=())),
        "a column twice": answer(into, schema=TableSchema(columns=(column, column))),
    }


LIES = (
    *("a file elsewhere", "a link", "a size", "a number of rows", "a type that is SQL"),
    *("a name that is SQL", "no columns", "a column twice"),
)


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_cannot_be_true_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """Only the answer is made up: the process that would give it has been taken over."""

    def taken_over(*_: Any, write: tuple[Path, ...], **__: Any) -> bytes:
        return msgspec.msgpack.encode(lies(write[0])[lie], enc_hook=str)

    monkeypatch.setattr(ingest_module, "perform", taken_over)
    with pytest.raises(WorkerLost, match="cannot be true"):
        read(b"a\n1\n", tmp_path)


def test_a_contract_that_comes_back_altered_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = TableSchema(columns=(Column(name="a", type="BIGINT", place=True),))

    def taken_over(*_: Any, write: tuple[Path, ...], **__: Any) -> bytes:
        return msgspec.msgpack.encode(answer(write[0]), enc_hook=str)

    monkeypatch.setattr(ingest_module, "perform", taken_over)
    with pytest.raises(WorkerLost, match="cannot be true"):
        read(b"a\n1\n", tmp_path, contract=contract)
