"""The SQL types of tables as JDBC and ODBC know types: CommandGetXdbcTypeInfo."""

from typing import NamedTuple

import pyarrow as pa

from marketplace.flight import flight_sql_pb2 as sql

TYPE_INFO = pa.schema(
    [
        pa.field("type_name", pa.string(), nullable=False),
        pa.field("data_type", pa.int32(), nullable=False),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", pa.string()),
        pa.field("literal_suffix", pa.string()),
        pa.field("create_params", pa.list_(pa.field("item", pa.string(), nullable=False))),
        pa.field("nullable", pa.int32(), nullable=False),
        pa.field("case_sensitive", pa.bool_(), nullable=False),
        pa.field("searchable", pa.int32(), nullable=False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), nullable=False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", pa.string()),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        pa.field("sql_data_type", pa.int32(), nullable=False),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)

_DECIMAL_DIGITS, _BITS = 10, 2


class _Type(NamedTuple):
    """`size` is in digits, bits or characters, by the kind of type; None where it has none."""

    name: str
    xdbc: int
    size: int | None = None
    radix: int | None = None
    unsigned: bool = False
    quoted: bool = False
    scale: int | None = None
    subcode: int | None = None


def _moment(name: str, xdbc: int, size: int, subcode: int) -> _Type:
    return _Type(name, xdbc, size, quoted=True, subcode=subcode)


_DATE, _TIME, _TIMESTAMP = 1, 2, 3  # subcodes

_TYPES = (
    _Type("BOOLEAN", sql.XDBC_BIT, 1),
    _Type("TINYINT", sql.XDBC_TINYINT, 3, _DECIMAL_DIGITS),
    _Type("UTINYINT", sql.XDBC_TINYINT, 3, _DECIMAL_DIGITS, unsigned=True),
    _Type("SMALLINT", sql.XDBC_SMALLINT, 5, _DECIMAL_DIGITS),
    _Type("USMALLINT", sql.XDBC_SMALLINT, 5, _DECIMAL_DIGITS, unsigned=True),
    _Type("INTEGER", sql.XDBC_INTEGER, 10, _DECIMAL_DIGITS),
    _Type("UINTEGER", sql.XDBC_INTEGER, 10, _DECIMAL_DIGITS, unsigned=True),
    _Type("BIGINT", sql.XDBC_BIGINT, 19, _DECIMAL_DIGITS),
    _Type("UBIGINT", sql.XDBC_BIGINT, 20, _DECIMAL_DIGITS, unsigned=True),
    _Type("HUGEINT", sql.XDBC_NUMERIC, 38, _DECIMAL_DIGITS),
    _Type("UHUGEINT", sql.XDBC_NUMERIC, 38, _DECIMAL_DIGITS, unsigned=True),
    _Type("DECIMAL", sql.XDBC_DECIMAL, 38, _DECIMAL_DIGITS, scale=38),
    _Type("FLOAT", sql.XDBC_REAL, 24, _BITS),
    _Type("DOUBLE", sql.XDBC_DOUBLE, 53, _BITS),
    _Type("VARCHAR", sql.XDBC_VARCHAR, 2**31 - 1, quoted=True),
    _Type("UUID", sql.XDBC_VARCHAR, 36, quoted=True),
    _Type("BLOB", sql.XDBC_VARBINARY, 2**31 - 1, quoted=True),
    _moment("DATE", sql.XDBC_DATE, 10, _DATE),
    _moment("TIME", sql.XDBC_TIME, 15, _TIME),
    _moment("TIMESTAMP", sql.XDBC_TIMESTAMP, 26, _TIMESTAMP),
    _moment("TIMESTAMP_S", sql.XDBC_TIMESTAMP, 19, _TIMESTAMP),
    _moment("TIMESTAMP_MS", sql.XDBC_TIMESTAMP, 23, _TIMESTAMP),
    _moment("TIMESTAMP_NS", sql.XDBC_TIMESTAMP, 29, _TIMESTAMP),
    _moment("TIMESTAMP WITH TIME ZONE", sql.XDBC_TIMESTAMP, 32, _TIMESTAMP),
)


def type_info(data_type: int | None) -> pa.Table:
    """The types in the standard's order; only those with an XDBC code where one is given."""
    chosen = [kind for kind in _TYPES if data_type in (None, kind.xdbc)]
    ordered = sorted(chosen, key=lambda kind: (kind.xdbc, kind.name))
    return pa.Table.from_pylist([_row(kind) for kind in ordered], schema=TYPE_INFO)


def _row(kind: _Type) -> dict[str, object]:
    numeric = kind.radix is not None
    quote = "'" if kind.quoted else None
    return {
        "type_name": kind.name,
        "data_type": kind.xdbc,
        "column_size": kind.size,
        "literal_prefix": quote,
        "literal_suffix": quote,
        "create_params": ["precision", "scale"] if kind.scale is not None else None,
        "nullable": sql.NULLABILITY_NULLABLE,
        "case_sensitive": kind.name == "VARCHAR",
        "searchable": sql.SEARCHABLE_FULL if kind.name == "VARCHAR" else sql.SEARCHABLE_BASIC,
        "unsigned_attribute": kind.unsigned if numeric else None,
        "fixed_prec_scale": False,
        "auto_increment": False if numeric else None,
        "local_type_name": kind.name,
        "minimum_scale": 0 if kind.scale is not None else None,
        "maximum_scale": kind.scale,
        "sql_data_type": kind.xdbc if kind.subcode is None else sql.XDBC_DATETIME,
        "datetime_subcode": kind.subcode,
        "num_prec_radix": kind.radix,
        "interval_precision": None,
    }
