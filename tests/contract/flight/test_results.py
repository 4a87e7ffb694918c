"""Rows on their way: every type, every size, and every way in which they can end."""

from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import flight, ipc

from access_policies.vocabulary import Audience
from marketplace.flight import flight_sql_pb2 as sql

MOST_OF_A_MESSAGE = 16 * 1024**2  # that common clients receive
ENDLESS = "SELECT r.range AS n, h.area FROM range(2000000000) r, mhclg.homes h"
TYPED = """
    SELECT true::BOOLEAN a, 1::TINYINT b, 1::SMALLINT c, 1::INTEGER d, 1::BIGINT e, 1::HUGEINT f,
        1::UTINYINT g, 1::USMALLINT h, 1::UINTEGER i, 1::UBIGINT j, 1::UHUGEINT k, 1::FLOAT l,
        1::DOUBLE m, 'x'::VARCHAR n, 'x'::BLOB o, DATE '2026-11-22' p, TIME '12:30:00' q,
        TIMESTAMP '2026-11-22 12:30:00' r, TIMESTAMPTZ '2026-11-22 12:30:00+01' s, 1.50::DECIMAL(18,2) t,
        '2026-11-22'::TIMESTAMP_S u, '2026-11-22'::TIMESTAMP_MS v, '2026-11-22'::TIMESTAMP_NS w,
        [1, 2] x, {'a': 1} y, INTERVAL 1 DAY z
"""
TYPE_NAMES = (
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DECIMAL(38,0)", "UTINYINT"),
    *("USMALLINT", "UINTEGER", "UBIGINT", "DECIMAL(38,0)", "FLOAT", "DOUBLE", "VARCHAR", "BLOB"),
    *("DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "DECIMAL(18,2)", "TIMESTAMP_S"),
    *("TIMESTAMP_MS", "TIMESTAMP_NS", "INTEGER[]", "STRUCT<A: INT32>", "INTERVAL"),
)


def test_every_type_arrives_as_it_was_announced_under_its_name_in_sql(member) -> None:
    info = member.info(sql.CommandStatementQuery(query=TYPED))
    table = member.read(info.endpoints[0].ticket)
    assert table.schema.equals(info.schema, check_metadata=True)
    named = [field.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"].decode() for field in table.schema]
    assert named == list(TYPE_NAMES)
    [row] = table.to_pylist()
    assert (row["f"], row["t"], row["x"], row["y"]) == (1, Decimal("1.50"), [1, 2], {"a": 1})


def test_a_tables_listed_schema_is_that_of_its_result_for_every_type_of_column(world) -> None:
    world.publish(
        "mhclg.types",
        "day,at,whole,exact,real,text,flag,large\n"
        "2026-11-22,2026-11-22T12:30:00,7,1.25,1e300,x,true,12345678901234567890\n",
        visible_to=Audience.LOCAL_GOVERNMENT,
    )
    publisher = world.caller("publisher")
    command = sql.CommandGetTables(db_schema_filter_pattern="types", include_schema=True)
    [listed] = publisher.listed(command)
    schema = ipc.read_schema(pa.py_buffer(listed["table_schema"]))
    assert publisher.read(publisher.ticket("FROM mhclg.types")).schema.equals(schema)


def test_an_enumeration_arrives_as_the_texts_that_it_stands_for(member) -> None:
    statement = (
        "SELECT x::ENUM('a', 'b') AS e, [x::ENUM('a', 'b')] AS l FROM (VALUES ('a'), ('b')) t(x)"
    )
    assert member.rows(statement) == [{"e": "a", "l": ["a"]}, {"e": "b", "l": ["b"]}]


def test_a_result_without_rows_has_its_columns(member) -> None:
    info = member.info(sql.CommandStatementQuery(query="SELECT 1 AS n, 'x' AS t WHERE false"))
    table = member.read(info.endpoints[0].ticket)
    assert table.num_rows == 0
    assert table.schema.equals(info.schema, check_metadata=True)


def test_wide_rows_come_in_batches_that_every_client_takes(member) -> None:
    # The first rows are small, so that a cut by number alone leaves the last ones too large.
    wide = "SELECT repeat('x', 100 + 3 * range * range) AS text FROM range(400)"
    stream = member.stream(member.ticket(wide))
    batches = [chunk.data for chunk in stream]
    assert sum(batch.num_rows for batch in batches) == 400
    assert max(batch.nbytes for batch in batches) <= MOST_OF_A_MESSAGE // 2


def test_a_row_that_no_client_takes_is_told_and_one_that_all_take_arrives(member) -> None:
    [row] = member.rows("SELECT repeat('x', 12 * 1024 * 1024) AS text")
    assert len(row["text"]) == 12 * 1024**2
    with pytest.raises(flight.FlightServerError, match=r"One row .* more than 15 MiB"):
        member.rows("SELECT repeat('x', 17 * 1024 * 1024) AS text")


def test_many_rows_arrive_whole_and_in_order(member) -> None:
    table = member.read(member.ticket("SELECT range AS n FROM range(3000000)"))
    assert table["n"].to_numpy().tolist() == list(range(3_000_000))


def test_an_error_after_the_first_rows_is_told(member) -> None:
    failing = (
        "SELECT CASE WHEN range < 2000000 THEN range ELSE CAST('no' || 'ne' AS INTEGER) END AS n "
        "FROM range(3000000)"
    )
    stream = member.stream(member.ticket(failing))
    stream.read_chunk()
    with pytest.raises(flight.FlightServerError, match="Query failed"):
        stream.read_all()


def test_a_result_whose_worker_dies_ends_in_an_error(world) -> None:
    member = world.caller("member")
    stream = member.stream(member.ticket(ENDLESS))
    stream.read_chunk()
    world.kill_workers()
    with pytest.raises(flight.FlightUnavailableError):
        stream.read_all()
    assert world.closed() == "WorkerLost"


def test_a_revocation_ends_a_running_result(world) -> None:
    member = world.caller("member")
    stream = member.stream(member.ticket(ENDLESS))
    stream.read_chunk()
    world.revoke()
    with pytest.raises(flight.FlightUnauthorizedError, match="Access ended"):
        stream.read_all()
    assert world.closed() == "AccessEnded"


@pytest.mark.parametrize("end", ["revoke", "revoke_token"])
def test_a_revocation_ends_a_result_that_its_reader_lets_wait(world, end) -> None:
    member = world.caller("member")
    stream = member.stream(member.ticket(ENDLESS))
    stream.read_chunk()
    world.revoke() if end == "revoke" else world.revoke_token("member")
    # Nobody reads on, and yet the record is closed: the worker is free and the files are let go.
    assert world.closed() == "AccessEnded"
    with pytest.raises(flight.FlightUnauthorizedError, match="Access ended"):
        stream.read_all()


def test_a_client_that_leaves_stops_its_worker_while_rows_come(world) -> None:
    member = world.caller("member")
    stream = member.stream(member.ticket(ENDLESS))
    stream.read_chunk()
    stream.cancel()
    assert world.closed() in {"QueryStopped", "cut by the reader"}


def test_a_client_that_leaves_before_the_first_row_stops_its_worker(world) -> None:
    slow = "SELECT sum(a.range * b.range % 7) AS n FROM range(1000000000) a, range(1000000000) b"
    ticket = world.caller("member").ticket(slow)
    with pytest.raises(flight.FlightTimedOutError):
        world.caller("member").impatient(1.0).read(ticket)
    assert world.closed() == "QueryStopped"


def test_one_person_has_so_many_results_on_their_way_and_no_more(world) -> None:
    member = world.caller("member")
    ticket = member.ticket("SELECT 1 AS one")
    streams = [member.stream(member.ticket(ENDLESS)) for _ in range(3)]
    streams.append(member.stream(member.ticket(ENDLESS)))
    for stream in streams:
        stream.read_chunk()
    with pytest.raises(flight.FlightUnavailableError, match="as many as one person may"):
        member.read(ticket)
    assert world.caller("outsider").rows("SELECT 1 AS one") == [{"one": 1}]
    streams.pop().cancel()
    assert world.until(lambda: answered(member, ticket))
    for stream in streams:
        stream.cancel()


def answered(caller, ticket: flight.Ticket) -> bool:
    try:
        caller.read(ticket)
    except flight.FlightUnavailableError:
        return False
    return True
