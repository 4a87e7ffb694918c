"""What drivers ask about the service before they ask it anything: CommandGetSqlInfo."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version

import pyarrow as pa

from marketplace.flight import flight_sql_pb2 as sql
from marketplace.flight.patterns import ESCAPE
from marketplace.flight.tickets import HANDLE_LIFE

_LONGEST_NAME = 63
_LONGEST_STATEMENT = 64 * 1024

# Bit masks are made of the ordinals that the standard gives to what is supported.
_ALL_OF_TWO, _ALL_OF_FOUR = 0b11, 0b1111

_TEXTS: dict[int, str] = {
    sql.FLIGHT_SQL_SERVER_NAME: "Data Marketplace",
    sql.FLIGHT_SQL_SERVER_VERSION: version("data-marketplace"),
    sql.FLIGHT_SQL_SERVER_ARROW_VERSION: pa.__version__,
    sql.FLIGHT_SQL_SERVER_SUBSTRAIT_MIN_VERSION: "",
    sql.FLIGHT_SQL_SERVER_SUBSTRAIT_MAX_VERSION: "",
    sql.SQL_IDENTIFIER_QUOTE_CHAR: '"',
    sql.SQL_SEARCH_STRING_ESCAPE: ESCAPE,
    sql.SQL_EXTRA_NAME_CHARACTERS: "",
    sql.SQL_SCHEMA_TERM: "schema",
    sql.SQL_PROCEDURE_TERM: "procedure",
    sql.SQL_CATALOG_TERM: "catalog",
}
_FLAGS: dict[int, bool] = {
    sql.FLIGHT_SQL_SERVER_READ_ONLY: True,
    sql.FLIGHT_SQL_SERVER_SQL: True,
    sql.FLIGHT_SQL_SERVER_SUBSTRAIT: False,
    sql.FLIGHT_SQL_SERVER_CANCEL: True,
    sql.FLIGHT_SQL_SERVER_BULK_INGESTION: False,
    sql.FLIGHT_SQL_SERVER_INGEST_TRANSACTIONS_SUPPORTED: False,
    sql.SQL_DDL_CATALOG: False,
    sql.SQL_DDL_SCHEMA: False,
    sql.SQL_DDL_TABLE: False,
    sql.SQL_ALL_TABLES_ARE_SELECTABLE: False,
    sql.SQL_SUPPORTS_COLUMN_ALIASING: True,
    sql.SQL_NULL_PLUS_NULL_IS_NULL: True,
    sql.SQL_SUPPORTS_TABLE_CORRELATION_NAMES: True,
    sql.SQL_SUPPORTS_DIFFERENT_TABLE_CORRELATION_NAMES: False,
    sql.SQL_SUPPORTS_EXPRESSIONS_IN_ORDER_BY: True,
    sql.SQL_SUPPORTS_ORDER_BY_UNRELATED: True,
    sql.SQL_SUPPORTS_LIKE_ESCAPE_CLAUSE: True,
    sql.SQL_SUPPORTS_NON_NULLABLE_COLUMNS: False,
    sql.SQL_SUPPORTS_INTEGRITY_ENHANCEMENT_FACILITY: False,
    sql.SQL_CATALOG_AT_START: True,
    sql.SQL_SELECT_FOR_UPDATE_SUPPORTED: False,
    sql.SQL_STORED_PROCEDURES_SUPPORTED: False,
    sql.SQL_CORRELATED_SUBQUERIES_SUPPORTED: True,
    sql.SQL_MAX_ROW_SIZE_INCLUDES_BLOBS: True,
    sql.SQL_TRANSACTIONS_SUPPORTED: False,
    sql.SQL_DATA_DEFINITION_CAUSES_TRANSACTION_COMMIT: False,
    sql.SQL_DATA_DEFINITIONS_IN_TRANSACTIONS_IGNORED: False,
    sql.SQL_BATCH_UPDATES_SUPPORTED: False,
    sql.SQL_SAVEPOINTS_SUPPORTED: False,
    sql.SQL_NAMED_PARAMETERS_SUPPORTED: False,
    sql.SQL_LOCATORS_UPDATE_COPY: False,
    sql.SQL_STORED_FUNCTIONS_USING_CALL_SYNTAX_SUPPORTED: False,
}
# Limits in characters, columns and so on; 0 is none, or none that is known.
_LIMITS: dict[int, int] = {
    sql.SQL_MAX_BINARY_LITERAL_LENGTH: 0,
    sql.SQL_MAX_CHAR_LITERAL_LENGTH: 0,
    sql.SQL_MAX_COLUMN_NAME_LENGTH: 0,
    sql.SQL_MAX_COLUMNS_IN_GROUP_BY: 0,
    sql.SQL_MAX_COLUMNS_IN_INDEX: 0,
    sql.SQL_MAX_COLUMNS_IN_ORDER_BY: 0,
    sql.SQL_MAX_COLUMNS_IN_SELECT: 0,
    sql.SQL_MAX_COLUMNS_IN_TABLE: 0,
    sql.SQL_MAX_CONNECTIONS: 0,
    sql.SQL_MAX_CURSOR_NAME_LENGTH: 0,
    sql.SQL_MAX_INDEX_LENGTH: 0,
    sql.SQL_DB_SCHEMA_NAME_LENGTH: _LONGEST_NAME,
    sql.SQL_MAX_PROCEDURE_NAME_LENGTH: 0,
    sql.SQL_MAX_CATALOG_NAME_LENGTH: _LONGEST_NAME,
    sql.SQL_MAX_ROW_SIZE: 0,
    sql.SQL_MAX_STATEMENT_LENGTH: _LONGEST_STATEMENT,
    sql.SQL_MAX_STATEMENTS: 0,
    sql.SQL_MAX_TABLE_NAME_LENGTH: _LONGEST_NAME,
    sql.SQL_MAX_TABLES_IN_SELECT: 0,
    sql.SQL_MAX_USERNAME_LENGTH: 0,
}
_MASKS: dict[int, int] = {
    sql.FLIGHT_SQL_SERVER_TRANSACTION: 0,
    sql.FLIGHT_SQL_SERVER_STATEMENT_TIMEOUT: int(HANDLE_LIFE.total_seconds() * 1000),
    sql.FLIGHT_SQL_SERVER_TRANSACTION_TIMEOUT: 0,
    sql.SQL_IDENTIFIER_CASE: sql.SQL_CASE_SENSITIVITY_CASE_INSENSITIVE,
    sql.SQL_QUOTED_IDENTIFIER_CASE: sql.SQL_CASE_SENSITIVITY_CASE_INSENSITIVE,
    sql.SQL_NULL_ORDERING: sql.SQL_NULLS_SORTED_AT_END,
    sql.SQL_SUPPORTED_GROUP_BY: _ALL_OF_TWO,
    sql.SQL_SUPPORTED_GRAMMAR: 0b111,
    sql.SQL_ANSI92_SUPPORTED_LEVEL: 0b001,
    sql.SQL_OUTER_JOINS_SUPPORT_LEVEL: sql.SQL_FULL_OUTER_JOINS,
    sql.SQL_SCHEMAS_SUPPORTED_ACTIONS: 0,
    sql.SQL_CATALOGS_SUPPORTED_ACTIONS: 0,
    sql.SQL_SUPPORTED_POSITIONED_COMMANDS: 0,
    sql.SQL_SUPPORTED_SUBQUERIES: _ALL_OF_FOUR,
    sql.SQL_SUPPORTED_UNIONS: _ALL_OF_TWO,
    sql.SQL_DEFAULT_TRANSACTION_ISOLATION: 0,
    sql.SQL_SUPPORTED_TRANSACTIONS_ISOLATION_LEVELS: 0b1,
    sql.SQL_SUPPORTED_RESULT_SET_TYPES: 0b10,
    sql.SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_UNSPECIFIED: 0,
    sql.SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_FORWARD_ONLY: 0b10,
    sql.SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_SCROLL_SENSITIVE: 0,
    sql.SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_SCROLL_INSENSITIVE: 0,
}
# By the names that JDBC's function escapes use.
_LISTS: dict[int, list[str]] = {
    sql.SQL_KEYWORDS: ["ASOF", "EXCLUDE", "ILIKE", "PIVOT", "QUALIFY", "SUMMARIZE", "UNPIVOT"],
    sql.SQL_NUMERIC_FUNCTIONS: [
        *("ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "CEILING", "COS", "COT", "DEGREES", "EXP"),
        *("FLOOR", "LOG", "LOG10", "MOD", "PI", "POWER", "RADIANS", "ROUND", "SIGN", "SIN"),
        *("SQRT", "TAN"),
    ],
    sql.SQL_STRING_FUNCTIONS: [
        *("ASCII", "CONCAT", "LCASE", "LEFT", "LENGTH", "LTRIM", "REPEAT", "REPLACE", "RIGHT"),
        *("RTRIM", "SUBSTRING", "UCASE"),
    ],
    sql.SQL_SYSTEM_FUNCTIONS: ["IFNULL"],
    sql.SQL_DATETIME_FUNCTIONS: [
        *("DAYNAME", "DAYOFMONTH", "DAYOFWEEK", "DAYOFYEAR", "HOUR", "MINUTE", "MONTH"),
        *("MONTHNAME", "QUARTER", "SECOND", "WEEK", "YEAR"),
    ],
}
_CONVERSIONS: dict[int, dict[int, list[int]]] = {sql.SQL_SUPPORTS_CONVERT: {}}

# Drivers find a value by its place in the union, so the order is the standard's.
_KINDS: tuple[tuple[str, pa.DataType, Mapping[int, object]], ...] = (
    ("string_value", pa.string(), _TEXTS),
    ("bool_value", pa.bool_(), _FLAGS),
    ("bigint_value", pa.int64(), _LIMITS),
    ("int32_bitmask", pa.int32(), _MASKS),
    ("string_list", pa.list_(pa.string()), _LISTS),
    ("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32())), _CONVERSIONS),
)
SQL_INFO = pa.schema(
    [
        pa.field("info_name", pa.uint32(), nullable=False),
        pa.field(
            "value",
            pa.dense_union([pa.field(name, kind) for name, kind, _ in _KINDS]),
            nullable=False,
        ),
    ]
)


def sql_info(codes: Iterable[int]) -> pa.Table:
    """What is known under these codes; all there is where none is named. Unknown ones are left out."""
    wanted = set(codes)
    chosen = [
        {code: value for code, value in values.items() if not wanted or code in wanted}
        for _, _, values in _KINDS
    ]
    names = [code for values in chosen for code in values]
    places = [place for place, values in enumerate(chosen) for _ in values]
    offsets = [offset for values in chosen for offset in range(len(values))]
    children = [
        pa.array([_cell(value) for value in values.values()], kind)
        for values, (_, kind, _) in zip(chosen, _KINDS, strict=True)
    ]
    union = pa.UnionArray.from_dense(
        pa.array(places, pa.int8()),
        pa.array(offsets, pa.int32()),
        children,
        field_names=[name for name, _, _ in _KINDS],
    )
    return pa.table([pa.array(names, pa.uint32()), union], schema=SQL_INFO)


def _cell(value: object) -> object:
    return list(value.items()) if isinstance(value, dict) else value
