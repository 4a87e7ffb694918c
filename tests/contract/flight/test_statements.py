"""Statements: prepared or as they are, with values, described, run, cancelled."""

import pyarrow as pa
import pytest
from google.protobuf.any_pb2 import Any as Wrapped
from pyarrow import flight

from marketplace.audit.entries import EntryKind
from marketplace.flight import flight_pb2 as core
from marketplace.flight import flight_sql_pb2 as sql

SHEFFIELD = [{"area": "Sheffield", "households": 614}]
ABOVE = "SELECT area FROM mhclg.homes WHERE households > ?"


def row(**values: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([values])


def test_a_statement_gives_the_rows_that_were_agreed_and_no_others(member) -> None:
    assert member.rows("SELECT * FROM mhclg.homes") == SHEFFIELD
    assert member.rows("SELECT count(*) AS n FROM mhclg.homes.homes") == [{"n": 1}]


def test_a_ticket_is_to_be_shown_where_it_was_issued(member) -> None:
    info = member.info(sql.CommandStatementQuery(query="SELECT 1 AS one"))
    [endpoint] = info.endpoints
    assert endpoint.locations == []
    assert (info.total_records, info.total_bytes) == (-1, -1)


def test_what_was_announced_is_what_comes(member) -> None:
    info = member.info(sql.CommandStatementQuery(query="SELECT area, 1.5 AS half FROM mhclg.homes"))
    table = member.read(info.endpoints[0].ticket)
    assert table.schema.equals(info.schema, check_metadata=True)
    assert table.schema.field("half").metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"DECIMAL(2,1)"


def test_an_empty_result_has_its_columns(member) -> None:
    table = member.read(member.ticket("SELECT * FROM mhclg.homes WHERE false"))
    assert (table.num_rows, table.schema.names) == (0, ["area", "households"])


def test_the_schema_of_a_statement_can_be_asked_alone(member, packed) -> None:
    command = packed(sql.CommandStatementQuery(query="SELECT * FROM mhclg.homes"))
    descriptor = flight.FlightDescriptor.for_command(command)
    assert member.client.get_schema(descriptor, member.options).schema.names == [
        "area",
        "households",
    ]


def test_a_prepared_statement_says_what_it_gives_and_takes(member, packed) -> None:
    prepared = member.prepare("SELECT * FROM mhclg.homes")
    assert prepared.schema.names == ["area", "households"]
    assert prepared.parameters.names == []
    assert not prepared.is_update
    assert member.execute(prepared.handle) == SHEFFIELD
    assert member.execute(prepared.handle) == SHEFFIELD
    close = sql.ActionClosePreparedStatementRequest(prepared_statement_handle=prepared.handle)
    assert member.act("ClosePreparedStatement", packed(close)) == []


def test_a_prepared_statement_runs_with_the_values_that_were_bound_to_it(member) -> None:
    prepared = member.prepare(ABOVE)
    assert len(prepared.parameters.names) == 1
    bound = member.bind(prepared.handle, row(**{"0": 600}))
    assert member.execute(bound) == [{"area": "Sheffield"}]
    again = member.bind(bound, row(**{"0": 700}))
    assert member.execute(again) == []
    assert member.execute(bound) == [{"area": "Sheffield"}]


def test_what_a_statement_gives_follows_from_the_values_that_are_bound(member) -> None:
    bound = member.bind(member.prepare("SELECT ? AS x").handle, row(x="text"))
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=bound)
    assert member.info(command).schema.field("x").type == pa.string()
    assert member.execute(bound) == [{"x": "text"}]


def test_a_statement_without_its_values_is_refused(member) -> None:
    prepared = member.prepare(ABOVE)
    with pytest.raises(flight.FlightServerError, match="without values"):
        member.execute(prepared.handle)


@pytest.mark.parametrize(
    "batches",
    [
        [pa.RecordBatch.from_pydict({"0": [600, 700]})],
        [row(**{"0": 600}), row(**{"0": 700})],
        [pa.RecordBatch.from_pydict({"0": pa.array([], pa.int64())})],
    ],
    ids=["two rows", "two batches", "no row"],
)
def test_only_one_row_of_values_is_bound_at_a_time(member, batches) -> None:
    with pytest.raises(flight.FlightServerError, match="row of values"):
        member.bind(member.prepare(ABOVE).handle, *batches)


def test_values_that_are_too_large_are_refused(member) -> None:
    with pytest.raises(flight.FlightServerError, match=r"large|bytes"):
        member.execute(member.bind(member.prepare("SELECT ? AS x").handle, row(x="x" * 2_000_000)))
    with pytest.raises(flight.FlightServerError, match=r"large|bytes"):
        member.execute(member.bind(member.prepare("SELECT ? AS x").handle, row(x="x" * 100_000)))


def test_a_value_is_never_read_as_sql(member) -> None:
    bound = member.bind(member.prepare("SELECT ? AS x").handle, row(x="1; SELECT 2"))
    assert member.execute(bound) == [{"x": "1; SELECT 2"}]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM mhclg.plans",
        "SELECT * FROM mhclg.nothing",
        "SELECT * FROM read_csv('/etc/passwd')",
        "INSERT INTO mhclg.homes VALUES (1)",
        "SELECT",
        "",
        "SELECT 1; SELECT 2",
        "BEGIN",
    ],
)
def test_what_is_refused_is_refused_when_it_is_prepared_announced_or_described(
    member, packed, statement
) -> None:
    descriptor = flight.FlightDescriptor.for_command(
        packed(sql.CommandStatementQuery(query=statement))
    )
    for ask in (
        lambda: member.prepare(statement),
        lambda: member.ticket(statement),
        lambda: member.client.get_schema(descriptor, member.options),
    ):
        with pytest.raises((flight.FlightError, pa.ArrowException)):
            ask()


def test_a_hidden_table_is_answered_as_one_that_does_not_exist(member) -> None:
    told = []
    for name in ("plans", "plots"):
        with pytest.raises(flight.FlightServerError) as refused:
            member.prepare(f"SELECT * FROM mhclg.{name}")
        told.append(str(refused.value).replace(name, "it"))
    assert told[0] == told[1]


def test_a_table_that_may_be_found_and_not_read_is_refused_with_how_to_ask(shared_world) -> None:
    with pytest.raises(flight.FlightUnauthorizedError, match=r"marketplace request mhclg\.homes"):
        shared_world.caller("outsider").prepare("SELECT * FROM mhclg.homes")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("BeginTransaction", "no transactions"),
        ("EndTransaction", "no transactions"),
        ("BeginSavepoint", "no transactions"),
        ("EndSavepoint", "no transactions"),
        ("CreatePreparedSubstraitPlan", "Substrait"),
        ("RenewFlightEndpoint", "cannot be renewed"),
        ("DropEverything", "no command or action 'DropEverything'"),
    ],
)
def test_what_the_service_does_not_do_is_refused_with_a_sentence(member, name, sentence) -> None:
    with pytest.raises(flight.FlightServerError, match=sentence):
        member.act(name)


@pytest.mark.parametrize(
    "name",
    ["CommandStatementUpdate", "CommandPreparedStatementUpdate", "CommandStatementIngest"],
)
def test_every_change_is_refused_as_the_marketplace_is_read_only(member, name) -> None:
    command = Wrapped(type_url=f"type.googleapis.com/arrow.flight.protocol.sql.{name}")
    with pytest.raises(flight.FlightServerError, match="read only"):
        member.put(command.SerializeToString(), row(x=1))
    with pytest.raises(flight.FlightServerError, match="read only"):
        member.info(command.SerializeToString())


def test_a_statement_in_a_transaction_is_refused(member, packed) -> None:
    with pytest.raises(flight.FlightServerError, match="no transactions"):
        member.info(sql.CommandStatementQuery(query="SELECT 1", transaction_id=b"t"))
    request = sql.ActionCreatePreparedStatementRequest(query="SELECT 1", transaction_id=b"t")
    with pytest.raises(flight.FlightServerError, match="no transactions"):
        member.act("CreatePreparedStatement", packed(request))


def test_nothing_is_exchanged_and_no_flights_are_listed(member) -> None:
    descriptor = flight.FlightDescriptor.for_command(b"")
    writer, reader = member.client.do_exchange(descriptor, member.options)
    with pytest.raises(flight.FlightServerError, match="DoExchange"):
        reader.read_chunk()
    with pytest.raises(flight.FlightServerError):
        writer.close()
    assert list(member.client.list_flights(b"", member.options)) == []
    actions = {action.type for action in member.client.list_actions(member.options)}
    assert {"CreatePreparedStatement", "CancelFlightInfo", "CloseSession"} <= actions


@pytest.mark.parametrize("action", ["CancelFlightInfo", "CancelQuery"])
def test_a_cancelled_run_does_not_begin(member, packed, action) -> None:
    info = member.info(sql.CommandStatementQuery(query="SELECT 1"))
    if action == "CancelFlightInfo":
        request = core.CancelFlightInfoRequest(info=info.serialize()).SerializeToString()
        [answer] = member.act(action, request)
        status = core.CancelFlightInfoResult.FromString(answer).status
    else:
        [answer] = member.act(action, packed(sql.ActionCancelQueryRequest(info=info.serialize())))
        result = sql.ActionCancelQueryResult()
        assert Wrapped.FromString(answer).Unpack(result)
        status = result.result
    assert status == core.CANCEL_STATUS_CANCELLED
    with pytest.raises(flight.FlightServerError, match="cancelled"):
        member.read(info.endpoints[0].ticket)


def test_a_running_statement_is_cancelled_by_its_ticket(world) -> None:
    member = world.caller("member")
    info = member.info(sql.CommandStatementQuery(query="SELECT range AS n FROM range(500000000)"))
    stream = member.stream(info.endpoints[0].ticket)
    stream.read_chunk()
    member.act("CancelFlightInfo", core.CancelFlightInfoRequest(info=info.serialize()))
    with pytest.raises(flight.FlightError):
        stream.read_all()
    assert world.closed() == "QueryStopped"


def test_nothing_of_a_list_can_be_cancelled(member) -> None:
    info = member.info(sql.CommandGetTables())
    [answer] = member.act("CancelFlightInfo", core.CancelFlightInfoRequest(info=info.serialize()))
    status = core.CancelFlightInfoResult.FromString(answer).status
    assert status == core.CANCEL_STATUS_NOT_CANCELLABLE


def test_what_was_prepared_and_run_is_on_record(world) -> None:
    member = world.caller("member")
    member.execute(member.prepare("SELECT area FROM mhclg.homes").handle)
    decided = world.entries(EntryKind.READ_DECIDED)
    assert [entry.person["sql"] for entry in decided] == ["SELECT area FROM mhclg.homes"] * 2
    outcomes = [entry.facts["outcome"] for entry in world.entries(EntryKind.READ_CLOSED)]
    assert outcomes == ["complete", "described"]
