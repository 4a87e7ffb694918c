"""Whether two results are the same: every value, floats to a relative 1e-9."""

import re

import pyarrow as pa
import pyarrow.compute as pc

_TOLERANCE = 1e-9
_LAST_ORDER = re.compile(r"ORDER BY ([^()]*?)(?:\s+LIMIT\s+\d+)?\s*$", re.IGNORECASE)


def require_same(expected: pa.Table, found: pa.Table, sql: str) -> None:
    """End the run where a result is not what DuckDB gives in-process for the same statement."""
    if not same(expected, found, order_of(sql)):
        raise SystemExit(f"The governed result differs from DuckDB's own:\n{sql}")


def order_of(sql: str) -> list[str]:
    """The output columns that a statement's last ORDER BY names; none where it has none."""
    found = _LAST_ORDER.search(sql.strip())
    return [] if found is None else [key.split()[0] for key in found.group(1).split(",")]


def same(expected: pa.Table, found: pa.Table, order: list[str]) -> bool:
    """Equal schemas, the columns of `order` equal row by row, and the same rows in any order."""
    if expected.schema.names != found.schema.names or expected.schema.types != found.schema.types:
        return False
    if expected.num_rows != found.num_rows:
        return False
    if expected.equals(found):
        return True
    if not _equal(expected.select(order), found.select(order)):
        return False
    return _equal(_sorted(expected), _sorted(found))


def _sorted(table: pa.Table) -> pa.Table:
    """Rows in an order that depends on a float, which may differ a little, as late as possible."""
    names = sorted(
        table.column_names, key=lambda name: pa.types.is_floating(table.schema.field(name).type)
    )
    return table.sort_by([(name, "ascending") for name in names])


def _equal(expected: pa.Table, found: pa.Table) -> bool:
    return all(map(_equal_columns, expected.columns, found.columns))


def _equal_columns(expected: pa.ChunkedArray, found: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(expected.type):
        return bool(expected.equals(found))
    if not pc.is_null(expected).equals(pc.is_null(found)):
        return False
    difference = pc.abs(pc.subtract(expected, found))
    close = pc.less_equal(difference, pc.multiply(pc.abs(expected), _TOLERANCE))
    exact = pc.equal(expected, found)
    alike = pc.or_(pc.or_(close, exact), pc.and_(pc.is_nan(expected), pc.is_nan(found)))
    return bool(pc.all(alike, skip_nulls=True, min_count=0).as_py())
