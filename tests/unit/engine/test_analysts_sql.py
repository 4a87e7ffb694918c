"""What analysts write works as DuckDB's own documentation says, through the check and a worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.view_map import BoundTable, ViewMap
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryFailed, StatementRefused

WriteParquet = Callable[[str, str], Path]
Bind = Callable[..., BoundTable]

HOMES = """
    SELECT * FROM (VALUES
        ('Leeds', DATE '2026-01-01', 10, 1.5), ('Leeds', DATE '2026-02-01', 30, 2.5),
        ('York', DATE '2026-01-01', 20, 3.5), ('York', DATE '2026-03-01', 5, NULL)
    ) t(area, month, homes, rate)
"""
RENTS = """
    SELECT * FROM (VALUES
        ('Leeds', DATE '2025-12-15', 700), ('Leeds', DATE '2026-01-20', 750),
        ('York', DATE '2026-02-10', 900)
    ) t(area, since, rent)
"""

ANSWERED: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("WITH a AS (FROM c.homes), b AS (SELECT area, sum(homes)::INT AS n FROM a GROUP BY area) FROM b ORDER BY n",
     [("York", 25), ("Leeds", 40)]),
    ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n * 2 FROM r WHERE n < 10) SELECT list(n) FROM r",
     [([1, 2, 4, 8, 16],)]),
    (("SELECT area, month, sum(homes) OVER (PARTITION BY area ORDER BY month)::INT, rank() OVER (ORDER BY homes) "
     "FROM c.homes QUALIFY row_number() OVER (PARTITION BY area ORDER BY month DESC) = 1 ORDER BY area"),
     [("Leeds", "2026-02-01", 40, 4), ("York", "2026-03-01", 25, 1)]),
    (("SELECT h.area, l.top FROM c.homes h, LATERAL (SELECT max(homes) AS top FROM c.homes i WHERE i.area = h.area) l "
     "GROUP BY ALL ORDER BY ALL"), [("Leeds", 30), ("York", 20)]),
    ("SELECT area, year(month) AS y, count(*) FROM c.homes GROUP BY ALL ORDER BY ALL",
     [("Leeds", 2026, 2), ("York", 2026, 2)]),
    ("SELECT max(COLUMNS(* EXCLUDE (month))) FROM c.homes", [("York", 30, "3.5")]),
    ("SELECT COLUMNS('^h') FROM c.homes WHERE area = 'York' ORDER BY 1", [(5,), (20,)]),
    (("SELECT h.area, h.month, r.rent FROM c.homes h ASOF JOIN c.rents r ON h.area = r.area AND h.month >= r.since "
     "ORDER BY ALL"), [("Leeds", "2026-01-01", 700), ("Leeds", "2026-02-01", 750), ("York", "2026-03-01", 900)]),
    ("SELECT list_transform(list(homes ORDER BY homes), lambda x: x * 2) FROM c.homes", [([10, 20, 40, 60],)]),
    ("SELECT [x + 1 FOR x IN [1, 2, 3] IF x > 1], list_reduce([1, 2, 3], lambda a, b: a + b), [3, 1, 2][1:2]",
     [([3, 4], 6, [3, 1])]),
    ("SELECT s.a, s['b'], struct_pack(x := s.a).x FROM (SELECT {'a': 1, 'b': 'y'} AS s)", [(1, "y", 1)]),
    ("SELECT map_keys(MAP {'a': 1}), list_aggregate([1, 2, 3], 'median'), unnest([7])", [(["a"], 2.0, 7)]),
    ("FROM (PIVOT c.homes ON area IN ('Leeds', 'York') USING sum(homes)::INT GROUP BY month) ORDER BY month",
     [("2026-01-01", 10, 20), ("2026-02-01", 30, None), ("2026-03-01", None, 5)]),
    ("SELECT * FROM (UNPIVOT (SELECT area, homes, 1 AS one FROM c.homes LIMIT 1) ON homes, one) ORDER BY name",
     [("Leeds", "homes", 10), ("Leeds", "one", 1)]),
    ("SELECT column_name, column_type FROM (DESCRIBE c.homes) LIMIT 2", [("area", "VARCHAR"), ("month", "DATE")]),
    ("SELECT column_name, min, max, count FROM (SUMMARIZE c.homes) WHERE column_name = 'homes'",
     [("homes", "5", "30", 4)]),
    ("SELECT column_name FROM (SUMMARIZE SELECT area AS place FROM c.homes)", [("place",)]),
    ("VALUES (1, 'a'), (2, 'b')", [(1, "a"), (2, "b")]),
    ("SELECT area FROM c.homes INTERSECT SELECT area FROM c.rents WHERE rent > 800", [("York",)]),
    ("SELECT area FROM c.homes EXCEPT SELECT area FROM c.rents WHERE rent > 800", [("Leeds",)]),
    ("SELECT 1 AS a, 2 AS b UNION BY NAME SELECT 3 AS b ORDER BY b", [(1, 2), (None, 3)]),
    (("SELECT area, homes FROM c.homes o WHERE homes = (SELECT max(homes) FROM c.homes i WHERE i.area = o.area) "
     "ORDER BY area"), [("Leeds", 30), ("York", 20)]),
    ("SELECT count(*) FROM (FROM c.homes USING SAMPLE 3 ROWS)", [(3,)]),
    ("SELECT count(*) FROM c.homes TABLESAMPLE RESERVOIR (2 ROWS) REPEATABLE (7)", [(2,)]),
    (("SELECT a.homes, b.rent FROM (FROM c.homes ORDER BY homes) a POSITIONAL JOIN (FROM c.rents ORDER BY rent) b "
     "WHERE b.rent IS NOT NULL"), [(5, 700), (10, 750), (20, 900)]),
    ("FROM c.homes SELECT area, homes WHERE homes > 15 ORDER BY homes; -- from first, and an end; of it",
     [("York", 20), ("Leeds", 30)]),
    ("/* a comment */ SELECT 1 /* ; */ ;; -- ;", [(1,)]),
    ('SELECT "Area" FROM "C"."HOMES" AS "h" WHERE "h"."HOMES" = 5', [("York",)]),
    ("SELECT area, count(*) FILTER (WHERE rate IS NULL) FROM c.homes GROUP BY CUBE (area) ORDER BY area NULLS LAST",
     [("Leeds", 0), ("York", 1), (None, 1)]),
    ("SELECT DISTINCT ON (area) area, homes FROM c.homes ORDER BY area, homes DESC", [("Leeds", 30), ("York", 20)]),
    ("SELECT date_trunc('month', month) + INTERVAL 1 MONTH AS m FROM c.homes ORDER BY 1 LIMIT 1", [("2026-02-01 00:00:00",)]),
    ("SELECT j.key FROM c.homes h, json_each(to_json(h)) j WHERE h.homes = 5 ORDER BY 1",
     [("area",), ("homes",), ("month",), ("rate",)]),
    ("SELECT TRY_CAST('x' AS INT), coalesce(NULL, 2), nullif(1, 1), 7 // 2, 2 ** 3", [(None, 2, None, 3, 8.0)]),
]  # fmt: skip


@pytest.fixture
def views(write_parquet: WriteParquet, bound: Bind) -> ViewMap:
    return (
        bound("c.homes", write_parquet("homes.parquet", HOMES)),
        bound("c.rents", write_parquet("rents.parquet", RENTS)),
    )


@pytest.mark.parametrize(("sql", "rows"), ANSWERED, ids=lambda value: str(value)[:60])
def test_it_is_answered(
    workers: QueryWorkers, views: ViewMap, sql: str, rows: list[tuple[Any, ...]]
) -> None:
    workers.parse(sql)
    data = b"".join(workers.run(views, sql, Encoding(OutputFormat.ARROW)))
    columns = [column.to_pylist() for column in pa.ipc.open_stream(data).read_all().columns]

    assert [tuple(map(_plain, row)) for row in zip(*columns, strict=True)] == rows


@pytest.mark.parametrize("kind", ["RESERVOIR (50 ROWS)", "BERNOULLI (1%)"])
def test_a_sample_with_a_seed_is_the_same_again(
    workers: QueryWorkers, write_parquet: WriteParquet, bound: Bind, kind: str
) -> None:
    views = (bound("a.b", write_parquet("many.parquet", "SELECT i FROM range(100000) t(i)")),)
    sql = f"SELECT i FROM a.b TABLESAMPLE {kind} REPEATABLE (7) ORDER BY i"
    samples = {b"".join(workers.run(views, sql, Encoding(OutputFormat.CSV))) for _ in range(3)}

    assert len(samples) == 1


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | list | None) else str(value)


@pytest.mark.parametrize("output", list(OutputFormat))
def test_a_semicolon_with_a_comment_after_it_is_no_matter_in_any_format(
    workers: QueryWorkers, output: OutputFormat
) -> None:
    assert b"".join(workers.run((), "SELECT 'é;' AS a /* ; */ ; -- b;", Encoding(output)))


@pytest.mark.parametrize(
    "sql",
    [
        "PIVOT c.homes ON area USING sum(homes)",
        "SELECT * FROM (PIVOT c.homes ON area USING sum(homes))",
        "WITH p AS (PIVOT c.homes ON area USING sum(homes)) FROM p",
    ],
)
def test_a_pivot_that_finds_its_own_columns_is_refused_with_what_to_write(
    workers: QueryWorkers, sql: str
) -> None:
    with pytest.raises(StatementRefused) as refused:
        workers.parse(sql)

    assert "ON column IN ('a', 'b')" in refused.value.next_step


def test_a_value_that_cannot_be_converted_is_told_and_a_path_never(
    workers: QueryWorkers, views: ViewMap, tmp_path: Path
) -> None:
    with pytest.raises(QueryFailed, match="'Leeds'") as failed:
        workers.run(views, "SELECT area::INT FROM c.homes", Encoding(OutputFormat.ARROW))

    assert str(tmp_path) not in failed.value.detail
