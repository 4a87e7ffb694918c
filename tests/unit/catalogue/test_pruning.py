from collections.abc import Sequence

import pytest

from catalogue.dataset import ColumnStatistics, DataFile
from catalogue.pruning import Among, Between, Condition, may_hold
from catalogue.table_schema import Column, TableSchema


def _may_hold(
    sql_type: str, minimum: str | None, maximum: str | None, condition: Condition
) -> bool:
    known = ColumnStatistics(name="c", minimum=minimum, maximum=maximum, nulls=0)
    file = DataFile(key="k", sha256="s", bytes=1, rows=10, columns=(known,))
    schema = TableSchema(columns=(Column(name="c", type=sql_type),))
    return may_hold(file, schema, condition)


def _among(*values: str) -> Among:
    return Among("c", frozenset(values))


OUTSIDE: Sequence[tuple[str, str, str, Condition]] = [
    ("BIGINT", "10", "20", _among("9", "21")),
    ("BIGINT", "-20", "-3", Between("c", least="-2")),
    ("INTEGER", "9", "10", _among("100")),
    ("BIGINT", "9", "10", Between("c", most="8.5")),
    ("DECIMAL(18,2)", "1.50", "12.00", _among("1.49")),
    ("VARCHAR", "E08000001", "E08000010", _among("E08000019")),
    ("VARCHAR", "a", "b", _among("B")),
    ("VARCHAR", "a", "z", _among("é")),
    ("DATE", "2024-01-01", "2024-01-31", Between("c", least="2024-02-01")),
    ("TIMESTAMP", "2024-01-01 00:00:00.5", "2024-01-01 09:00:00", _among("2024-01-01")),
    ("TIMESTAMP", "2024-01-01 00:00:00", "2024-01-01 09:00:00.5", _among("2024-01-01 09:00:00.51")),
]


@pytest.mark.parametrize(("sql_type", "minimum", "maximum", "condition"), OUTSIDE)
def test_a_file_whose_bounds_exclude_the_condition_holds_none(
    sql_type: str, minimum: str, maximum: str, condition: Condition
) -> None:
    assert not _may_hold(sql_type, minimum, maximum, condition)


INSIDE: Sequence[tuple[str, str, str, Condition]] = [
    ("BIGINT", "10", "20", _among("1", "10")),
    ("BIGINT", "10", "20", Between("c", least="20")),
    ("BIGINT", "10", "20", Between("c", least="12", most="13")),
    ("DECIMAL(18,2)", "1.50", "12.00", _among("1.5")),
    ("VARCHAR", "", "b", _among("")),
    ("DATE", "2024-01-01", "2024-01-31", Between("c", most="2024-01-01")),
    ("TIMESTAMP", "2024-01-01 00:00:00.5", "2024-01-02 00:00:00", _among("2024-01-01 00:00:00.50")),
]


@pytest.mark.parametrize(("sql_type", "minimum", "maximum", "condition"), INSIDE)
def test_a_file_whose_bounds_allow_the_condition_may_hold_some(
    sql_type: str, minimum: str, maximum: str, condition: Condition
) -> None:
    assert _may_hold(sql_type, minimum, maximum, condition)


@pytest.mark.parametrize(
    ("sql_type", "minimum", "maximum", "condition"),
    [
        ("DOUBLE", "1", "2", _among("3")),
        ("HUGEINT", "1", "2", _among("3")),
        ("TIMESTAMP WITH TIME ZONE", "2024-01-01", "2024-01-02", _among("2025-01-01")),
        ("TIMESTAMP_NS", "2024-01-01", "2024-01-02", _among("2025-01-01")),
        ("BIGINT", "1", "2", _among("3", "three")),
        ("BIGINT", "1", "2", _among("1e9")),
        ("BIGINT", "1", "2", _among("٣")),
        ("BIGINT", "1", "2", _among("3\n")),
        ("BIGINT", "nan", "nan", _among("3")),
        ("DATE", "0044-03-15 (BC)", "infinity", _among("2024-01-01")),
        ("DATE", "2024-01-01", "2024-01-02", _among("20250101")),
        ("DATE", "2024-01-01", "2024-01-02", _among("2025-02-30")),
        ("BIGINT", None, None, _among("3")),
    ],
)
def test_what_is_not_certain_leaves_the_file_in(
    sql_type: str, minimum: str | None, maximum: str | None, condition: Condition
) -> None:
    assert _may_hold(sql_type, minimum, maximum, condition)


def test_one_known_bound_is_enough_on_its_side() -> None:
    assert not _may_hold("DATE", "2024-01-01", "infinity", _among("2023-12-31"))
    assert _may_hold("DATE", "2024-01-01", "infinity", _among("2999-12-31"))


def test_nothing_is_among_no_values() -> None:
    assert not _may_hold("VARCHAR", "a", "b", _among())


def test_a_column_that_the_manifest_does_not_know_leaves_the_file_in() -> None:
    schema = TableSchema(columns=(Column(name="c", type="BIGINT"),))
    file = DataFile(key="k", sha256="s", bytes=1, rows=10)
    assert may_hold(file, schema, _among("1"))
    assert may_hold(file, TableSchema(columns=()), _among("1"))
