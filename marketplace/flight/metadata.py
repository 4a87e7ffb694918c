"""What there is, as Flight SQL lists it: organisations are catalogs, datasets schemas.

Every list shows what the caller may know of, which `Discovery` decides and records.
"""

from collections.abc import Callable

import pyarrow as pa
from google.protobuf.message import Message

from catalogue.address import DatasetAddress
from marketplace.discovery import Discovery, TableView
from marketplace.errors import RequestMalformed
from marketplace.flight import flight_sql_pb2 as sql
from marketplace.flight.columns import table_schema
from marketplace.flight.patterns import like
from marketplace.flight.sql_info import SQL_INFO, sql_info
from marketplace.flight.type_info import TYPE_INFO, type_info
from marketplace.identity.principal import Principal

_TABLE_TYPE = "TABLE"


_CATALOG = pa.field("catalog_name", pa.string())
_DB_SCHEMA = pa.field("db_schema_name", pa.string())
_TABLE = pa.field("table_name", pa.string(), nullable=False)
_TYPE = pa.field("table_type", pa.string(), nullable=False)

CATALOGS = pa.schema([_CATALOG.with_nullable(False)])
DB_SCHEMAS = pa.schema([_CATALOG, _DB_SCHEMA.with_nullable(False)])
TABLES = pa.schema([_CATALOG, _DB_SCHEMA, _TABLE, _TYPE])
TABLES_WITH_SCHEMA = TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
TABLE_TYPES = pa.schema([_TYPE])
PRIMARY_KEYS = pa.schema(
    [
        _CATALOG,
        _DB_SCHEMA,
        _TABLE,
        pa.field("column_name", pa.string(), nullable=False),
        pa.field("key_name", pa.string()),
        pa.field("key_sequence", pa.int32(), nullable=False),
    ]
)
FOREIGN_KEYS = pa.schema(
    [
        *(
            pa.field(f"{side}_{name}", pa.string(), nullable=nullable)
            for side in ("pk", "fk")
            for name, nullable in (
                ("catalog_name", True),
                ("db_schema_name", True),
                ("table_name", False),
                ("column_name", False),
            )
        ),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("fk_key_name", pa.string()),
        pa.field("pk_key_name", pa.string()),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)


class Metadata:
    """Answers every command that lists something, for one caller at a time."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    def schema(self, command: Message) -> pa.Schema:
        """The schema of what a command lists. Raises RequestMalformed where it lists nothing."""
        match command:
            case sql.CommandGetSqlInfo():
                return SQL_INFO
            case sql.CommandGetXdbcTypeInfo():
                return TYPE_INFO
            case sql.CommandGetCatalogs():
                return CATALOGS
            case sql.CommandGetDbSchemas():
                return DB_SCHEMAS
            case sql.CommandGetTables(include_schema=include_schema):
                return TABLES_WITH_SCHEMA if include_schema else TABLES
            case sql.CommandGetTableTypes():
                return TABLE_TYPES
            case sql.CommandGetPrimaryKeys():
                return PRIMARY_KEYS
            case (
                sql.CommandGetExportedKeys()
                | sql.CommandGetImportedKeys()
                | sql.CommandGetCrossReference()
            ):
                return FOREIGN_KEYS
            case _:
                raise RequestMalformed("The command lists nothing and runs nothing here.")

    def answer(self, principal: Principal, command: Message, within: str) -> pa.Table:
        """What a command lists; `within` narrows it to one catalog where it names none itself."""
        match command:
            case sql.CommandGetSqlInfo(info=codes):
                return sql_info(codes)
            case sql.CommandGetXdbcTypeInfo():
                return type_info(command.data_type if command.HasField("data_type") else None)
            case sql.CommandGetCatalogs():
                return self._catalogs(principal, within)
            case sql.CommandGetDbSchemas():
                return self._db_schemas(principal, command, within)
            case sql.CommandGetTables():
                return self._tables(principal, command, within)
            case sql.CommandGetTableTypes():
                return pa.table([[_TABLE_TYPE]], schema=TABLE_TYPES)
            case _:
                return self.schema(command).empty_table()  # nothing has keys

    def _catalogs(self, principal: Principal, within: str) -> pa.Table:
        known = self._discovery.known(principal, _wanted(within, ""))
        names = sorted({address.organisation for address in known})
        return pa.table([names], schema=CATALOGS)

    def _db_schemas(
        self, principal: Principal, command: sql.CommandGetDbSchemas, within: str
    ) -> pa.Table:
        wanted = _wanted(command.catalog or within, command.db_schema_filter_pattern)
        known = self._discovery.known(principal, wanted)
        columns = [[address.organisation for address in known], [a.dataset for a in known]]
        return pa.table(columns, schema=DB_SCHEMAS)

    def _tables(self, principal: Principal, command: sql.CommandGetTables, within: str) -> pa.Table:
        wanted = _wanted(command.catalog or within, command.db_schema_filter_pattern)
        found = self._discovery.tables(principal, wanted) if _of_our_type(command) else ()
        pattern = command.table_name_filter_pattern
        views = [view for view in found if like(view.address.name, pattern)]
        return _listed(views, include_schema=command.include_schema)


def _listed(views: list[TableView], *, include_schema: bool) -> pa.Table:
    columns: list[list[str] | list[bytes]] = [
        [view.address.organisation for view in views],
        [view.address.dataset for view in views],
        [view.address.name for view in views],
        [_TABLE_TYPE for _ in views],
    ]
    if not include_schema:
        return pa.table(columns, schema=TABLES)
    schemas = [table_schema(view.address, view.columns) for view in views]
    columns.append([schema.serialize().to_pybytes() for schema in schemas])
    return pa.table(columns, schema=TABLES_WITH_SCHEMA)


def _wanted(catalog: str, db_schema: str) -> Callable[[DatasetAddress], bool]:
    # The standard names a catalog outright; drivers of ODBC send a pattern. Empty is any.
    return lambda address: like(address.organisation, catalog) and like(address.dataset, db_schema)


def _of_our_type(command: sql.CommandGetTables) -> bool:
    return not command.table_types or _TABLE_TYPE in command.table_types
