"""Whatever the table, scope and masks: an extract is what plain Python says, and tells no more.

The worker's own code runs in this process here: hundreds of processes would take minutes. That it
is the same in a confined process is held by test_extract.py.
"""

import hashlib
import hmac
import math
import re
import struct
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from access_policies import scope
from marketplace.engine.extract import extracting
from marketplace.engine.extract.extract_messages import (
    Condition,
    ExtractColumn,
    ExtractRequest,
    HashKey,
)
from marketplace.engine.frames import Output
from marketplace.engine.limits import Limits
from tests.examples import examples

Row = dict[str, Any]

KEY = b"the key of one project and kind."
TYPES = {
    "area": "VARCHAR",
    "postcode": "VARCHAR",
    "born": "DATE",
    "moved": "TIMESTAMP",
    "people": "BIGINT",
    "rent": "DECIMAL(9,2)",
    "share": "DOUBLE",
    "near": "FLOAT",
    "urgent": "BOOLEAN",
}
ARROW = pa.schema(
    [
        ("area", pa.string()),
        ("postcode", pa.string()),
        ("born", pa.date32()),
        ("moved", pa.timestamp("us")),
        ("people", pa.int64()),
        ("rent", pa.decimal128(9, 2)),
        ("share", pa.float64()),
        ("near", pa.float32()),
        ("urgent", pa.bool_()),
    ]
)

text = st.sampled_from(["Leeds", "leeds ", "York", "", " ", "É", "a\tb", "'; --", "ß", "naïve 9"])
postcodes = st.sampled_from(
    ["S1 2HE", "s12he", " M60 1NW", "EC1A 1BB", "GIR 0AA", "S1", "none", "", "12345", "\u017f1 2HE"]
)
# Few and close together, so that values meet bounds.
days = st.sampled_from(
    [date.fromisoformat(f"2024-{day}") for day in ("02-28", "02-29", "03-01", "03-31", "04-01")]
    + [date.min, date(1969, 12, 31), date(1970, 1, 1), date.max]
)
times = st.sampled_from([time.min, time(0, 0, 0, 1), time(12), time.max])
moments = st.builds(datetime.combine, days, times)
floats = st.sampled_from([0.0, -0.0, 0.1, 1.5, 2.0, -3.25, math.inf, -math.inf, math.nan])
decimals = st.sampled_from(
    [Decimal(text) for text in ("-1.00", "-0.99", "0.00", "0.10", "1.49", "1.50", "2.00", "999.99")]
)
bounds = decimals | st.sampled_from(
    [Decimal(text) for text in ("-0.995", "0.005", "0.1", "1.495", "1.505", "2.5", "-3", "1" * 30)]
)

VALUES = {
    "area": text,
    "postcode": postcodes,
    "born": days,
    "moved": moments,
    "people": st.integers(-4, 4) | st.sampled_from([-(2**63), 2**63 - 1]),
    "rent": decimals,
    "share": floats,
    "near": floats.map(
        lambda x: x if not math.isfinite(x) else float(pa.scalar(x, pa.float32()).as_py())
    ),
    "urgent": st.booleans(),
}
rows = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
tables = st.lists(rows, max_size=12)

MASKS: dict[str, st.SearchStrategy[scope.Mask | None]] = {
    "area": st.builds(scope.FirstCharacters, st.integers(1, 3))
    | st.just(scope.KeyedHash("nino", "squad"))
    | st.just(scope.Constant("withheld")),
    "postcode": st.just(scope.PostcodeDistrict()) | st.just(scope.KeyedHash("uprn", "squad")),
    "born": st.just(scope.YearOnly()) | st.just(scope.MonthOnly()),
    "moved": st.just(scope.YearOnly()) | st.just(scope.MonthOnly()),
    "people": st.builds(scope.AtMost, st.integers(-3, 3).map(Decimal))
    | st.just(scope.KeyedHash("person", "squad"))
    | st.just(scope.Constant("7")),
    "rent": st.builds(scope.AtMost, decimals) | st.builds(scope.AtLeast, decimals),
    "share": st.builds(scope.AtMost, decimals) | st.builds(scope.AtLeast, decimals),
    "near": st.builds(scope.AtMost, decimals),
    "urgent": st.just(scope.NoValue()),
}


@st.composite
def shown_columns(draw: st.DrawFn) -> list[tuple[str, scope.Mask | None]]:
    names = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, unique=True))
    return [(name, draw(st.none() | st.just(scope.NoValue()) | MASKS[name])) for name in names]


def _range(column: str) -> st.SearchStrategy[scope.RowsInRange]:
    return st.builds(scope.RowsInRange, st.just(column), st.none() | bounds, st.none() | bounds)


def _between(column: str) -> st.SearchStrategy[scope.RowsBetweenDays]:
    return st.builds(scope.RowsBetweenDays, st.just(column), st.none() | days, st.none() | days)


def _among(column: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[scope.RowsWithValues]:
    listed = st.lists(values, max_size=4).map(tuple)
    return st.builds(scope.RowsWithValues, st.just(column), listed)


conditions = st.lists(
    st.one_of(
        _among("area", text),
        _among("people", st.sampled_from(["0", "1", "-1", "01", "x", "9223372036854775807"])),
        _among("rent", st.sampled_from(["0.00", "1.50", "1.5"])),
        _among("born", st.sampled_from(["2024-02-29", "2024-2-29"])),
        _among("urgent", st.sampled_from(["true", "false", "TRUE"])),
        *map(_range, ("people", "rent", "share", "near")),
        *map(_between, ("born", "moved")),
    ),
    max_size=3,
)


def extract(
    table: list[Row],
    columns: list[tuple[str, scope.Mask | None]],
    where: list[Condition],
    *,
    row_group: int = 5,
    threads: int = 2,
) -> bytes:
    """The bytes of an extract of a table that was published in row groups of that size."""
    with TemporaryDirectory() as folder:
        source, into = Path(folder) / "t.parquet", Path(folder) / "into"
        into.mkdir()
        parquet.write_table(pa.Table.from_pylist(table, ARROW), source, row_group_size=row_group)
        request = ExtractRequest(
            files=(str(source),),
            columns=tuple(
                ExtractColumn(
                    name, mask, HashKey(KEY) if isinstance(mask, scope.KeyedHash) else None
                )
                for name, mask in columns
            ),
            conditions=tuple(where),
            into=str(into),
        )
        written = worker_of(threads).perform(msgspec.msgpack.encode(request), NOWHERE)
        return written.files[0].path.read_bytes()


@cache
def worker_of(threads: int) -> extracting.ExtractWorker:
    """One for all examples: to open DuckDB takes longer than all that it does here."""
    return extracting.open_worker(Limits(threads=threads), Path(mkdtemp()))


class _Nowhere(Output):
    """What the worker says on its way is not looked at here."""

    def __init__(self) -> None:
        super().__init__(-1)

    def note(self, message: msgspec.Struct) -> None:
        """Forget it."""


NOWHERE = _Nowhere()


def told(data: bytes) -> list[Row]:
    """The rows of a Parquet file."""
    read: list[Row] = parquet.read_table(pa.BufferReader(data)).to_pylist()
    return read


def counted(found: list[Row]) -> Counter[str]:
    """Rows as they can be counted and compared: NaN as a word, no difference between zeros."""
    return Counter(repr([_plain(value) for value in row.values()]) for row in found)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value + 0.0
    return value


@given(tables, shown_columns(), conditions)
@settings(max_examples=examples(400), deadline=None)
def test_it_holds_what_plain_python_says(
    table: list[Row],
    columns: list[tuple[str, scope.Mask | None]],
    where: list[Condition],
) -> None:
    assert counted(told(extract(table, columns, where))) == counted(
        expected(table, TYPES, columns, where, KEY)
    )


@given(tables, shown_columns(), conditions, st.data())
@settings(max_examples=examples(200), deadline=None)
def test_two_tables_that_differ_only_in_what_is_hidden_give_the_same_bytes(
    table: list[Row],
    columns: list[tuple[str, scope.Mask | None]],
    where: list[Condition],
    data: st.DataObject,
) -> None:
    other = _hidden_otherwise(table, columns, where, data)

    one = extract(table, columns, where, row_group=5, threads=2)
    same = extract(other, columns, where, row_group=2, threads=1)

    assert one == same


def _hidden_otherwise(
    table: list[Row],
    columns: list[tuple[str, scope.Mask | None]],
    where: list[Condition],
    data: st.DataObject,
) -> list[Row]:
    """A table with other rows left out, other values in hidden columns, and in another order."""

    def is_out(row: Row) -> bool:
        return not expected([row], TYPES, columns, where, KEY)

    chosen_by = {one.column for one in where}
    shown = dict(columns)
    kept = []
    for row in table:
        if is_out(row):
            continue
        changed = dict(row)
        for name, values in VALUES.items():
            if name in chosen_by:
                continue
            if name not in shown or isinstance(shown[name], scope.NoValue):
                changed[name] = data.draw(st.none() | values)
            elif isinstance(shown[name], scope.Constant) and row[name] is not None:
                changed[name] = data.draw(values)
            elif isinstance(shown[name], scope.YearOnly) and row[name] is not None:
                changed[name] = row[name].replace(month=data.draw(st.integers(1, 12)), day=1)
        kept.append(changed)
    others = [row for row in data.draw(tables) if is_out(row)]
    return data.draw(st.permutations(kept + others))


def test_whether_hidden_rows_have_a_value_is_not_told_by_the_schema() -> None:
    row = {"area": "Leeds", "people": 1}
    columns: list[tuple[str, scope.Mask | None]] = [("people", None)]
    where: list[Condition] = [scope.RowsWithValues("area", ("Leeds",))]
    hidden = dict.fromkeys(TYPES) | {"area": "York"}

    data = extract([dict.fromkeys(TYPES) | row, hidden], columns, where)

    assert data == extract([dict.fromkeys(TYPES) | row, hidden | {"people": 2}], columns, where)
    assert parquet.read_schema(pa.BufferReader(data)).field("people").nullable


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_many_threads_write_the_same_bytes_as_one(threads: int) -> None:
    """More rows than a row group has, so that threads share the work."""
    table = [
        dict.fromkeys(TYPES) | {"people": number * 7919 % 1_000_003, "area": f"x{number % 97}"}
        for number in range(260_000)
    ]
    columns: list[tuple[str, scope.Mask | None]] = [("area", None), ("people", None)]
    every = extract(table, columns, [], row_group=100_000, threads=1)

    assert extract(table[::-1], columns, [], row_group=30_000, threads=threads) == every


def test_what_sorts_as_equal_but_is_written_otherwise_keeps_no_order_of_its_source() -> None:
    def rows_of(*values: float) -> list[Row]:
        return [dict.fromkeys(TYPES) | {"share": value} for value in values]

    columns: list[tuple[str, scope.Mask | None]] = [("share", None)]
    nan = [struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48 | payload))[0] for payload in (1, 2)]

    assert extract(rows_of(0.0, -0.0, *nan), columns, []) == extract(
        rows_of(*nan[::-1], -0.0, 0.0), columns, []
    )


# The other opinion: what an extract is to hold, worked out row by row in plain Python.

_SPACES = str.maketrans("", "", "\t\n\v\f\r ")
_CAPITALS = str.maketrans({chr(97 + i): chr(65 + i) for i in range(26)})
_OUTWARD = r"[A-Z]{1,2}[0-9][A-Z0-9]?"


def expected(
    rows: list[Row],
    types: dict[str, str],
    columns: list[tuple[str, scope.Mask | None]],
    conditions: list[scope.RowCondition],
    key: bytes,
) -> list[Row]:
    """The rows that are let out, as they are shown, in no order."""
    return [
        {name: shown(row[name], types[name], mask, key) for name, mask in columns}
        for row in rows
        if all(met(row[one.column], types[one.column], one) for one in conditions)
    ]


def met(value: Any, sql_type: str, condition: Any) -> bool:
    """Whether a value meets a condition."""
    if value is None:
        return False
    if isinstance(condition, scope.RowsWithValues):
        return written(value) in condition.values
    if isinstance(condition, scope.RowsInRange):
        if isinstance(value, float):
            if not math.isfinite(value):
                return False
            least, most = (rounded(bound, sql_type) for bound in (condition.least, condition.most))
        else:
            least, most = condition.least, condition.most
        return (least is None or value >= least) and (most is None or value <= most)
    day = value.astimezone(UTC).date() if isinstance(value, datetime) and value.tzinfo else value
    day = day.date() if isinstance(day, datetime) else day
    first, last = condition.first or date.min, condition.last or date.max
    return bool(first <= day <= last)


def rounded(bound: Decimal | None, sql_type: str) -> float | None:
    """A bound as a floating-point type has it."""
    if bound is None:
        return None
    value = float(bound)
    return float(struct.unpack("f", struct.pack("f", value))[0]) if sql_type == "FLOAT" else value


def written(value: Any) -> str:
    """A value as SQL writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def shown(value: Any, sql_type: str, mask: Any, key: bytes) -> Any:
    """A value as its mask shows it."""
    if value is None or isinstance(mask, scope.NoValue):
        return None
    match mask:
        case None:
            return value
        case scope.Constant(value=constant):
            return constant if sql_type == "VARCHAR" else type(value)(constant)
        case scope.PostcodeDistrict():
            return district(plain(value))
        case scope.FirstCharacters(count=count):
            return value[:count]
        case scope.YearOnly():
            return begun(value, month=1)
        case scope.MonthOnly():
            return begun(value, month=value.month)
        case scope.AtMost(bound=bound):
            return coded(value, bound, sql_type, min)
        case scope.AtLeast(bound=bound):
            return coded(value, bound, sql_type, max)
        case scope.KeyedHash():
            text = plain(written(value))
            return hmac.new(key, text.encode(), hashlib.sha256).hexdigest() if text else None


def plain(text: str) -> str:
    """Without white space, in capitals; both in ASCII alone."""
    return text.translate(_SPACES).translate(_CAPITALS)


def district(postcode: str) -> str | None:
    """The first half of a postcode."""
    if re.fullmatch(_OUTWARD + "[0-9][A-Z]{2}", postcode):
        return postcode[:-3]
    return postcode if re.fullmatch(_OUTWARD, postcode) else None


def begun(value: date, *, month: int) -> date:
    """The first moment of that month of the value's year."""
    first = value.replace(month=month, day=1)
    if isinstance(first, datetime):
        return datetime.combine(first.date(), time(), first.tzinfo)
    return first


def coded(value: Any, bound: Decimal, sql_type: str, nearest: Any) -> Any:
    """The value, or the bound that it lies beyond."""
    if isinstance(value, float):
        return None if math.isnan(value) else nearest(value, rounded(bound, sql_type))
    return nearest(value, type(value)(bound))
