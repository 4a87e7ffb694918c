"""A description is kept for the same statement over the same tables, and for nothing else."""

from pathlib import Path

import pyarrow as pa
import pytest

from catalogue.address import TableAddress
from marketplace.engine.process import ConfinedProcess
from marketplace.engine.query.descriptions import Described, Descriptions
from marketplace.engine.query.view_map import BoundTable, ViewMap
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryFailed

HOMES = TableAddress.parse("mhclg.homes")
SHOWN = Described(schema=b"shown", parameters=0)


def over(*files: str, short: bool = True) -> ViewMap:
    return (BoundTable(address=HOMES, short=short, files=tuple(map(Path, files))),)


def test_another_file_or_another_text_is_described_anew() -> None:
    descriptions = Descriptions()
    descriptions.keep(over("/a"), "FROM mhclg.homes", SHOWN)
    assert descriptions.find(over("/a"), "FROM mhclg.homes") == SHOWN
    assert descriptions.find(over("/b"), "FROM mhclg.homes") is None
    assert descriptions.find(over("/a", "/b"), "FROM mhclg.homes") is None
    assert descriptions.find(over("/a", short=False), "FROM mhclg.homes") is None
    assert descriptions.find(over("/a"), "FROM mhclg.homes ") is None


@pytest.mark.parametrize(
    ("views", "sql", "described"),
    [
        (over("/a"), "S" * 20_000, SHOWN),
        (over("/a"), "SELECT 1", Described(schema=b"x" * 20_000, parameters=0)),
        (over(*(f"/{number}" for number in range(100))), "SELECT 1", SHOWN),
        (over("/a") * 20, "SELECT 1", SHOWN),
    ],
    ids=["a long text", "a wide result", "many files", "many tables"],
)
def test_a_large_one_is_not_kept(views: ViewMap, sql: str, described: Described) -> None:
    descriptions = Descriptions()
    descriptions.keep(views, sql, described)
    assert descriptions.find(views, sql) is None


def test_those_asked_for_last_are_kept() -> None:
    descriptions = Descriptions()
    for number in range(600):
        descriptions.keep(over("/a"), f"SELECT {number}", SHOWN)
        assert descriptions.find(over("/a"), "SELECT 0") == SHOWN
    assert descriptions.find(over("/a"), "SELECT 1") is None
    assert descriptions.find(over("/a"), "SELECT 599") == SHOWN


def test_the_second_description_needs_no_worker(
    workers: QueryWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = workers.describe((), "SELECT 1 AS one")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was asked")

    monkeypatch.setattr(ConfinedProcess, "call", refuse)
    assert workers.describe((), "SELECT 1 AS one") == first
    assert pa.ipc.open_stream(first.schema).schema.names == ["one"]


def test_values_are_described_each_time(workers: QueryWorkers) -> None:
    for value, expected in ((1, pa.int64()), ("x", pa.string()), (None, pa.null())):
        described = workers.describe((), "SELECT ? AS v", None if value is None else row(value))
        assert pa.ipc.open_stream(described.schema).schema.types == [expected]
        assert described.parameters == 1


def test_an_error_is_not_kept(workers: QueryWorkers) -> None:
    for _ in range(2):
        with pytest.raises(QueryFailed):
            workers.describe((), "SELECT nothing")


def row(value: object) -> bytes:
    batch = pa.RecordBatch.from_pylist([{"0": value}])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())
