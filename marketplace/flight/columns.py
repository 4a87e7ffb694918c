"""Columns as clients of Flight SQL know them: Arrow types, and in their metadata the SQL names."""

from collections.abc import Iterable

import pyarrow as pa

from catalogue.address import TableAddress
from catalogue.table_schema import Column

_PREFIX = "ARROW:FLIGHT:SQL:"

# The SQL types that tables have (those that publishing lets in), each as results carry it.
_TYPES: dict[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "HUGEINT": pa.decimal128(38, 0),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "UHUGEINT": pa.decimal128(38, 0),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "UUID": pa.string(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP_S": pa.timestamp("s"),
    "TIMESTAMP_MS": pa.timestamp("ms"),
    "TIMESTAMP_NS": pa.timestamp("ns"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}
# Of the SQL types that are one to Arrow, the usual one.
_NAMES = {arrow: name for name, arrow in reversed(_TYPES.items())}


def arrow_type(sql_type: str) -> pa.DataType:
    """The Arrow type of a column of a table; text where it is not one that tables have.

    >>> arrow_type("DECIMAL(18,2)")
    Decimal128Type(decimal128(18, 2))
    """
    if sql_type.startswith("DECIMAL("):
        precision, scale = sql_type.removeprefix("DECIMAL(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return _TYPES.get(sql_type, pa.string())


def type_name(arrow: pa.DataType) -> str:
    """The SQL type of a column of a result.

    >>> type_name(pa.list_(pa.int32()))
    'INTEGER[]'
    """
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision},{arrow.scale})"
    if pa.types.is_list(arrow):
        return f"{type_name(arrow.value_type)}[]"
    if pa.types.is_interval(arrow):
        return "INTERVAL"
    return _NAMES.get(arrow, str(arrow).upper())


def described(schema: pa.Schema) -> pa.Schema:
    """A result's schema with what drivers ask of its columns."""
    return pa.schema(
        field.with_metadata((field.metadata or {}) | _facts(field.type, type_name(field.type)))
        for field in schema
    )


def table_schema(address: TableAddress, columns: Iterable[Column]) -> pa.Schema:
    """A table's schema with what drivers ask of its columns."""
    return pa.schema(_field(address, column) for column in columns)


def without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """The schema with plain values for dictionaries, which not every driver reads."""
    return pa.schema(field.with_type(_plain(field.type)) for field in schema)


def _plain(arrow: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(arrow):
        return arrow.value_type
    if pa.types.is_list(arrow):
        return pa.list_(arrow.value_field.with_type(_plain(arrow.value_type)))
    if pa.types.is_struct(arrow):
        return pa.struct([field.with_type(_plain(field.type)) for field in arrow])
    return arrow


def _field(address: TableAddress, column: Column) -> pa.Field:
    arrow = arrow_type(column.type)
    facts = _facts(arrow, column.type) | {
        f"{_PREFIX}CATALOG_NAME": address.organisation,
        f"{_PREFIX}DB_SCHEMA_NAME": address.dataset,
        f"{_PREFIX}TABLE_NAME": address.name,
    }
    remarks = column.description or column.title
    if remarks:
        facts[f"{_PREFIX}REMARKS"] = remarks
    return pa.field(column.name, arrow, metadata=facts)


def _facts(arrow: pa.DataType, name: str) -> dict[str | bytes, str | bytes]:
    facts: dict[str | bytes, str | bytes] = {
        f"{_PREFIX}TYPE_NAME": name,
        f"{_PREFIX}IS_AUTO_INCREMENT": "0",
        f"{_PREFIX}IS_CASE_SENSITIVE": "1" if pa.types.is_string(arrow) else "0",
        f"{_PREFIX}IS_READ_ONLY": "1",
        f"{_PREFIX}IS_SEARCHABLE": "1",
    }
    if pa.types.is_decimal(arrow):
        facts |= {
            f"{_PREFIX}PRECISION": str(arrow.precision),
            f"{_PREFIX}SCALE": str(arrow.scale),
        }
    return facts
