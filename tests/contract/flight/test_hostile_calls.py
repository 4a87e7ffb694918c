"""Calls that no honest client makes: each is refused with a sentence, and the service goes on."""

import logging
import os

import pyarrow as pa
import pytest
from google.protobuf.any_pb2 import Any as Wrapped
from pyarrow import flight

from marketplace.flight import flight_pb2 as core
from marketplace.flight import flight_sql_pb2 as sql

ERRORS = (flight.FlightError, pa.ArrowException)

GARBAGE = {
    "nothing": b"",
    "noise": os.urandom(64),
    "text": b"SELECT * FROM mhclg.plans",
    "cut": Wrapped(type_url="type.googleapis.com/x", value=b"y" * 9).SerializeToString()[:-5],
    "no name": Wrapped(value=b"x").SerializeToString(),
    "unknown": Wrapped(type_url="type.googleapis.com/google.protobuf.Any").SerializeToString(),
    "a field of another type": Wrapped(
        type_url="type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery",
        value=b"\x08\x01\x0a\xff",
    ).SerializeToString(),
    "text that is none": Wrapped(
        type_url="type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery",
        value=b"\x0a\x02\xff\xfe",
    ).SerializeToString(),
    "a name that is none": b"\x0a\x02\xff\xfe",
    "deep": b"\x0a\x7f" * 5_000,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_wherever_a_command_belongs(member, caplog, data: bytes) -> None:
    descriptor = flight.FlightDescriptor.for_command(data)
    row = pa.RecordBatch.from_pylist([{"x": 1}])
    for call in (
        lambda: member.info(data),
        lambda: member.client.get_schema(descriptor, member.options),
        lambda: member.read(data),
        lambda: member.put(data, row),
        lambda: member.act("CreatePreparedStatement", data),
        lambda: member.act("CancelQuery", data),
    ):
        with pytest.raises(ERRORS, match="Request malformed"):
            call()
    assert unforeseen(caplog) == []
    assert member.rows("SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize("action", ["CancelFlightInfo", "SetSessionOptions"])
def test_garbage_is_refused_wherever_a_message_of_flight_itself_belongs(
    member, caplog, action: str
) -> None:
    with pytest.raises(flight.FlightServerError, match="Request malformed"):
        member.act(action, b"\xff\xff\xff")
    with pytest.raises(flight.FlightServerError, match="Request malformed"):
        member.act("CancelFlightInfo", core.CancelFlightInfoRequest(info=b"\xff\xff\xff"))
    assert unforeseen(caplog) == []


def test_a_descriptor_that_is_a_path_is_refused(member) -> None:
    path = flight.FlightDescriptor.for_path("mhclg", "plans")
    with pytest.raises(flight.FlightServerError, match="Request malformed"):
        member.client.get_flight_info(path, member.options)


@pytest.mark.parametrize(
    "command",
    [
        sql.TicketStatementQuery(statement_handle=b"x"),
        sql.ActionClosePreparedStatementRequest(prepared_statement_handle=b"x"),
    ],
)
def test_a_message_in_the_place_of_another_is_refused(member, command) -> None:
    with pytest.raises(flight.FlightServerError, match="lists nothing"):
        member.info(command)


def test_a_command_without_end_is_refused_and_the_next_call_is_answered(member) -> None:
    with pytest.raises(ERRORS):
        member.info(os.urandom(40 * 1024**2))
    with pytest.raises(flight.FlightServerError, match="Statement refused"):
        member.prepare(f"SELECT '{'x' * 10_000_000}'")
    assert member.rows("SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize(
    "command",
    [
        sql.CommandGetTables(table_name_filter_pattern="%_" * 20_000 + "x"),
        sql.CommandGetTables(catalog="\\" * 9_999, db_schema_filter_pattern="\0'\"; DROP"),
        sql.CommandGetDbSchemas(db_schema_filter_pattern="(a+)+$" * 1_000),
        sql.CommandGetSqlInfo(info=[4_294_967_295] * 10_000),
        sql.CommandGetXdbcTypeInfo(data_type=-(2**31)),
    ],
    ids=["many wildcards", "escapes and quotes", "an expression", "codes", "a type"],
)
def test_a_filter_that_fits_nothing_lists_nothing(member, command) -> None:
    assert member.listed(command) == []


@pytest.mark.parametrize(
    "statement", ["SELECT '\0'", "\ud7ff" * 100, "(" * 5_000, "SELECT '" + "é"]
)
def test_statements_that_break_parsers_are_refused(member, statement: str) -> None:
    with pytest.raises(flight.FlightServerError, match="Statement refused"):
        member.prepare(statement)


def test_values_that_are_no_values_are_refused(member, packed) -> None:
    handle = member.prepare("SELECT ? AS x").handle
    no_text = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\0\0\0\0\x01\0\0\0"), pa.py_buffer(b"\xff")
    )
    broken = pa.RecordBatch.from_arrays([no_text], ["x"])
    none = pa.RecordBatch.from_pylist([{}])
    for batch in (broken, none):
        with pytest.raises(ERRORS):
            member.execute(member.bind(handle, batch))
    assert member.rows("SELECT 1 AS one") == [{"one": 1}]


def test_headers_that_are_no_text_or_too_many_are_refused(shared_world, bare) -> None:
    for authorization in ("Bearer " + "x" * 4_000, "Bearer \x7f", "Basic " + "=" * 50):
        with pytest.raises(ERRORS):
            bare(authorization).rows("SELECT 1")
    assert shared_world.caller("member").rows("SELECT 1 AS one") == [{"one": 1}]


def test_no_error_says_where_on_this_machine_the_code_lies(member, packed) -> None:
    told = []
    wrong = packed(sql.CommandStatementQuery(query="SELECT * FROM mhclg.nothing"))
    descriptor = flight.FlightDescriptor.for_command(wrong)
    for call in (
        lambda: member.client.get_schema(descriptor, member.options),
        lambda: member.client.get_flight_info(descriptor, member.options),
        lambda: member.read(b"garbage"),
        lambda: member.act("Nothing"),
        lambda: member.put(b"garbage", pa.RecordBatch.from_pylist([{"x": 1}])),
    ):
        with pytest.raises(ERRORS) as refused:
            call()
        told.append(str(refused.value))
    here = os.path.dirname(os.path.dirname(flight.__file__))  # noqa: PTH120
    for text in told:
        assert "/marketplace/" not in text
        assert ".py" not in text.replace("_flight.pyx", "")
        assert here not in text


def test_a_failure_that_nobody_foresaw_tells_nothing_but_its_number(
    world, monkeypatch, caplog
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret of the service")

    monkeypatch.setattr(type(world.marketplace.discovery), "known", fail)
    with pytest.raises(flight.FlightInternalError, match="urn:uuid:") as failed:
        world.caller("member").listed(sql.CommandGetCatalogs())
    assert "secret" not in str(failed.value)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def unforeseen(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]
