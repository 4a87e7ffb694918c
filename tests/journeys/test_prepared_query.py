"""A statement is described, then run with values: each time decided, and recorded with its values."""

from base64 import b64encode

import pyarrow as pa
import pytest

from catalogue.errors import UnknownDataset
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.errors import AccessDenied, QueryFailed, StatementRefused
from tests.journeys.conftest import World

SQL = "SELECT area, households FROM mhclg.homes WHERE area = $area AND households > $least"


def one_row(*values: object) -> bytes:
    table = pa.table([pa.array([value]) for value in values], [str(n) for n in range(len(values))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def run(world: World, sql: str, *values: object) -> list[dict[str, object]]:
    output = Encoding(OutputFormat.ARROW)
    delivery = world.marketplace.querying.run(
        world.member, sql, output, parameters=one_row(*values)
    )
    rows: list[dict[str, object]] = pa.ipc.open_stream(b"".join(delivery)).read_all().to_pylist()
    return rows


def recorded(world: World, kind: EntryKind) -> list[entries.RecordedEntry]:
    world.marketplace.audit.sequence()  # writes what waits to be written with others
    with world.marketplace.database.reading() as connection:
        return list(entries.latest(connection, kinds=(kind,)))


def outcomes(world: World) -> list[object]:
    return [entry.facts["outcome"] for entry in recorded(world, EntryKind.READ_CLOSED)]


def refusals(world: World) -> list[object]:
    return [entry.facts["refused_as"] for entry in recorded(world, EntryKind.READ_DECIDED)]


@pytest.mark.usefixtures("shared")
def test_a_described_statement_runs_with_values_that_are_kept_in_the_log(world: World) -> None:

    described = world.marketplace.querying.describe(world.member, SQL)
    assert pa.ipc.open_stream(described.schema).schema.names == ["area", "households"]
    assert (described.parameters, dict(described.releases)) == (2, {"mhclg.homes": 1})
    [closed] = recorded(world, EntryKind.READ_CLOSED)
    assert (closed.facts["outcome"], closed.facts["read"]) == ("described", described.entry)

    assert run(world, SQL, "Sheffield", 600) == [{"area": "Sheffield", "households": 614}]
    kept = [entry.person.get("parameters") for entry in recorded(world, EntryKind.READ_DECIDED)]
    assert sorted(map(str, kept)) == sorted(
        [str(None), b64encode(one_row("Sheffield", 600)).decode()]
    )


@pytest.mark.usefixtures("homes")
def test_a_statement_is_not_described_to_whoever_may_not_run_it(world: World) -> None:

    with pytest.raises(AccessDenied):
        world.marketplace.querying.describe(world.member, SQL)
    with pytest.raises(UnknownDataset):
        world.marketplace.querying.describe(world.member, "DESCRIBE mhclg.houses")
    assert sorted(map(str, refusals(world))) == ["AccessDenied", "UnknownDataset"]


@pytest.mark.usefixtures("homes")
def test_columns_that_were_not_agreed_are_not_described(world: World) -> None:
    world.share(columns=("area",))

    described = world.marketplace.querying.describe(world.member, "FROM mhclg.homes")
    assert pa.ipc.open_stream(described.schema).schema.names == ["area"]
    with pytest.raises(QueryFailed, match="households"):
        world.marketplace.querying.describe(world.member, SQL)
    assert sorted(map(str, outcomes(world))) == ["QueryFailed", "described"]


@pytest.mark.usefixtures("shared")
def test_parameters_without_values_and_values_that_are_too_long_are_refused_on_record(
    world: World,
) -> None:

    with pytest.raises(StatementRefused, match="came without values"):
        world.query(SQL)
    with pytest.raises(StatementRefused, match="at most 65536"):
        run(world, SQL, "x" * 65_536, 1)
    assert refusals(world) == ["StatementRefused", "StatementRefused"]
    assert not [e for e in recorded(world, EntryKind.READ_DECIDED) if "parameters" in e.person]


@pytest.mark.usefixtures("shared")
def test_values_that_cannot_be_bound_leave_a_closed_record(world: World) -> None:

    with pytest.raises(QueryFailed, match="2 parameters, and 1 value came"):
        run(world, SQL, "Sheffield")
    assert outcomes(world) == ["QueryFailed"]
