"""What there is: each list of Flight SQL, for whoever may know of it."""

import pyarrow as pa
import pytest
from google.protobuf.message import Message
from pyarrow import flight, ipc

from access_policies.vocabulary import Audience
from marketplace.audit.entries import EntryKind
from marketplace.flight import flight_pb2 as core
from marketplace.flight import flight_sql_pb2 as sql

HOMES = {
    "catalog_name": "mhclg",
    "db_schema_name": "homes",
    "table_name": "homes",
    "table_type": "TABLE",
}
PLANS = HOMES | {"db_schema_name": "plans", "table_name": "plans"}
KEYS = [
    sql.CommandGetPrimaryKeys(table="homes"),
    sql.CommandGetExportedKeys(table="homes"),
    sql.CommandGetImportedKeys(table="homes"),
    sql.CommandGetCrossReference(pk_table="homes", fk_table="homes"),
]


def test_catalogs_are_the_organisations_whose_datasets_the_caller_may_know_of(shared_world) -> None:
    assert shared_world.caller("member").listed(sql.CommandGetCatalogs()) == [
        {"catalog_name": "mhclg"}
    ]


def test_what_a_caller_may_not_know_of_is_in_no_list(shared_world) -> None:
    publisher, outsider = shared_world.caller("publisher"), shared_world.caller("outsider")
    assert publisher.listed(sql.CommandGetTables()) == [HOMES, PLANS]
    assert outsider.listed(sql.CommandGetTables()) == [HOMES]
    assert outsider.listed(sql.CommandGetTables(table_name_filter_pattern="plans")) == []
    assert outsider.listed(sql.CommandGetDbSchemas()) == [
        {"catalog_name": "mhclg", "db_schema_name": "homes"}
    ]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (sql.CommandGetTables(catalog="", db_schema_filter_pattern=""), [HOMES, PLANS]),
        (sql.CommandGetTables(catalog="mhclg"), [HOMES, PLANS]),
        (sql.CommandGetTables(catalog="mh%"), [HOMES, PLANS]),
        (sql.CommandGetTables(catalog="dfe"), []),
        (sql.CommandGetTables(db_schema_filter_pattern="h_mes"), [HOMES]),
        (sql.CommandGetTables(table_name_filter_pattern="%lan%"), [PLANS]),
        (sql.CommandGetTables(table_name_filter_pattern="HOMES"), []),
        (sql.CommandGetTables(table_types=["VIEW"]), []),
        (sql.CommandGetTables(table_types=["VIEW", "TABLE"]), [HOMES, PLANS]),
    ],
)
def test_tables_are_filtered_by_patterns_of_which_none_and_an_empty_one_mean_any(
    shared_world, command: Message, found: list[dict[str, str]]
) -> None:
    assert shared_world.caller("publisher").listed(command) == found


def test_a_tables_schema_is_what_a_query_of_the_caller_gives(shared_world) -> None:
    member = shared_world.caller("member")
    [listed] = member.listed(sql.CommandGetTables(include_schema=True))
    schema = ipc.read_schema(pa.py_buffer(listed["table_schema"]))
    result = member.info(sql.CommandStatementQuery(query="FROM mhclg.homes")).schema
    assert schema.equals(result)
    assert schema.names == ["area", "households"]


def test_a_table_that_may_be_known_and_not_queried_is_listed_with_all_its_columns(
    shared_world,
) -> None:
    [listed] = shared_world.caller("outsider").listed(sql.CommandGetTables(include_schema=True))
    schema = ipc.read_schema(pa.py_buffer(listed["table_schema"]))
    assert schema.names == ["area_code", "area", "households"]


def test_a_column_says_where_it_is_and_what_sql_calls_its_type(shared_world) -> None:
    [listed] = shared_world.caller("member").listed(sql.CommandGetTables(include_schema=True))
    field = ipc.read_schema(pa.py_buffer(listed["table_schema"])).field("households")
    facts = {
        name.decode().removeprefix("ARROW:FLIGHT:SQL:"): value.decode()
        for name, value in field.metadata.items()
    }
    assert facts == {
        "CATALOG_NAME": "mhclg",
        "DB_SCHEMA_NAME": "homes",
        "TABLE_NAME": "homes",
        "TYPE_NAME": "BIGINT",
        "IS_AUTO_INCREMENT": "0",
        "IS_CASE_SENSITIVE": "0",
        "IS_READ_ONLY": "1",
        "IS_SEARCHABLE": "1",
    }


def test_each_list_of_what_there_is_leaves_one_entry_in_the_audit_log(world) -> None:
    before = len(world.entries(EntryKind.CATALOGUE_READ))
    for command in (sql.CommandGetCatalogs(), sql.CommandGetDbSchemas(), sql.CommandGetTables()):
        world.caller("member").listed(command)
    found = world.entries(EntryKind.CATALOGUE_READ)
    assert len(found) == before + 3
    assert {entry.person["person"] for entry in found[:3]} == {world.principal("member").person_id}


def test_there_is_one_type_of_table(member) -> None:
    assert member.listed(sql.CommandGetTableTypes()) == [{"table_type": "TABLE"}]


@pytest.mark.parametrize("command", KEYS, ids=lambda command: type(command).__name__)
def test_there_are_no_keys_and_their_lists_have_their_columns(member, command: Message) -> None:
    assert member.listed(command) == []
    assert member.info(command).schema.names[:3] == (
        ["catalog_name", "db_schema_name", "table_name"]
        if isinstance(command, sql.CommandGetPrimaryKeys)
        else ["pk_catalog_name", "pk_db_schema_name", "pk_table_name"]
    )


def test_everything_that_is_known_of_the_service_is_told_where_no_code_is_named(member) -> None:
    told = {row["info_name"]: row["value"] for row in member.listed(sql.CommandGetSqlInfo())}
    assert set(sql.SqlInfo.values()) <= set(told)
    assert told[sql.FLIGHT_SQL_SERVER_READ_ONLY] is True
    assert told[sql.FLIGHT_SQL_SERVER_SQL] is True
    assert told[sql.FLIGHT_SQL_SERVER_SUBSTRAIT] is False
    assert told[sql.FLIGHT_SQL_SERVER_TRANSACTION] == 0
    assert told[sql.FLIGHT_SQL_SERVER_CANCEL] is True
    assert told[sql.SQL_IDENTIFIER_QUOTE_CHAR] == '"'
    assert (told[sql.SQL_CATALOG_TERM], told[sql.SQL_SCHEMA_TERM]) == ("catalog", "schema")


def test_only_the_codes_that_are_named_are_told_and_unknown_ones_are_left_out(member) -> None:
    asked = sql.CommandGetSqlInfo(info=[sql.FLIGHT_SQL_SERVER_TRANSACTION, 9_999])
    assert member.listed(asked) == [{"info_name": sql.FLIGHT_SQL_SERVER_TRANSACTION, "value": 0}]


def test_the_values_lie_in_the_union_where_drivers_look_for_them(member) -> None:
    union = member.info(sql.CommandGetSqlInfo()).schema.field("value").type
    assert [union.field(place).name for place in range(union.num_fields)] == [
        *("string_value", "bool_value", "bigint_value", "int32_bitmask", "string_list"),
        "int32_to_int32_list_map",
    ]


def test_types_are_told_in_the_order_of_their_codes_then_names(member) -> None:
    rows = member.listed(sql.CommandGetXdbcTypeInfo())
    order = [(row["data_type"], row["type_name"]) for row in rows]
    assert order == sorted(order)
    assert {"BIGINT", "DECIMAL", "VARCHAR", "TIMESTAMP WITH TIME ZONE"} <= {
        name for _, name in order
    }


def test_the_types_of_one_code_are_told_where_it_is_named_be_it_zero(member) -> None:
    named = member.listed(sql.CommandGetXdbcTypeInfo(data_type=sql.XDBC_VARCHAR))
    assert {row["type_name"] for row in named} == {"VARCHAR", "UUID"}
    assert member.listed(sql.CommandGetXdbcTypeInfo(data_type=0)) == []


@pytest.mark.parametrize(
    "command",
    [
        *KEYS,
        sql.CommandGetCatalogs(),
        sql.CommandGetDbSchemas(),
        sql.CommandGetTables(include_schema=True),
        sql.CommandGetTableTypes(),
        sql.CommandGetSqlInfo(),
        sql.CommandGetXdbcTypeInfo(),
    ],
    ids=lambda command: type(command).__name__,
)
def test_the_schema_of_every_list_can_be_asked_alone(member, packed, command: Message) -> None:
    descriptor = flight.FlightDescriptor.for_command(packed(command))
    alone = member.client.get_schema(descriptor, member.options).schema
    assert alone.equals(member.info(command).schema)


def test_a_session_narrows_lists_to_the_catalog_that_it_chose(world) -> None:
    world.publish("mhclg.schools", "name\nA\n", visible_to=Audience.LOCAL_GOVERNMENT)
    text = core.SessionOptionValue(string_value="dfe")
    number = core.SessionOptionValue(int64_value=1)
    chosen = core.SetSessionOptionsRequest(session_options={"catalog": text})
    refused = core.SetSessionOptionsRequest(session_options={"catalog": number, "speed": text})

    caller, cookies = world.caller_with_cookies("member")
    [answer] = caller.act("SetSessionOptions", refused)
    errors = core.SetSessionOptionsResult.FromString(answer).errors
    assert {name: error.value for name, error in errors.items()} == {
        "catalog": core.SetSessionOptionsResult.INVALID_VALUE,
        "speed": core.SetSessionOptionsResult.INVALID_NAME,
    }
    assert cookies == []
    assert caller.act("SetSessionOptions", chosen) == [b""]

    within = world.caller("member", cookie=cookies[-1].partition(";")[0])
    assert within.listed(sql.CommandGetTables()) == []
    assert within.listed(sql.CommandGetTables(catalog="mhclg"))
    [options] = within.act("GetSessionOptions")
    told = core.GetSessionOptionsResult.FromString(options).session_options
    assert told["catalog"].string_value == "dfe"
    # Nobody else can use it, and an altered one is none.
    cookie = cookies[-1].partition(";")[0]
    assert world.caller("outsider", cookie=cookie).listed(sql.CommandGetTables())
    assert world.caller("member", cookie=f"{cookie}00").listed(sql.CommandGetTables())

    [closed] = caller.act("CloseSession")
    assert core.CloseSessionResult.FromString(closed).status == core.CloseSessionResult.CLOSED
    assert "Max-Age=0" in cookies[-1]
