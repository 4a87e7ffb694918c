"""A file is left out only where no row of it can have a part in the result."""

from pathlib import Path
from random import Random
from types import SimpleNamespace

import duckdb
import pytest

from catalogue.address import DatasetAddress
from catalogue.dataset import DataFile
from catalogue.table_schema import Column, TableSchema
from marketplace.engine.ingest.parquet_writing import write_parquet
from marketplace.engine.query.statement import Statement, check_tree
from marketplace.query.pruning import needed_files

TYPES = {
    "id": "BIGINT",
    "small": "TINYINT",
    "price": "DECIMAL(18,2)",
    "exact": "DECIMAL(38,10)",
    "ratio": "DOUBLE",
    "name": "VARCHAR",
    "day": "DATE",
    "moment": "TIMESTAMP",
    "instant": "TIMESTAMP WITH TIME ZONE",
}
SCHEMA = TableSchema(columns=tuple(Column(name=name, type=of) for name, of in TYPES.items()))
DATASET = DatasetAddress("mhclg", "homes")


def checked(sql: str) -> Statement:
    [[tree]] = duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    return check_tree(sql, tree.encode())


def needed(statement: Statement, files: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
    table = SimpleNamespace(name="homes", schema=SCHEMA)
    release = SimpleNamespace(dataset=DATASET, tables=(table,))
    reading = SimpleNamespace(release=release, table=table)
    [found] = needed_files(statement, [reading], [files])  # type: ignore[list-item]
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, DataFile], ...]:
    """Twelve files whose values lie apart in some columns, with nulls, NaN and infinity among them."""
    folder = tmp_path_factory.mktemp("files")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    written = []
    for part in range(12):
        rows = f"""(SELECT CAST(i AS BIGINT) AS id, CAST(i % 12 - 6 AS TINYINT) AS small,
            CAST(CASE WHEN i % 5 > 0 THEN i / 8.0 END AS DECIMAL(18,2)) AS price,
            CAST(i / 8.0 AS DECIMAL(38,10)) AS exact,
            CASE i % 30 WHEN 0 THEN 'nan' WHEN 1 THEN '-0.0' ELSE CAST(i / 8.0 AS VARCHAR) END::DOUBLE AS ratio,
            CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN chr(CAST(97 + i / 20 AS INTEGER)) || 'é' ELSE 'E' || i END AS name,
            CASE WHEN i = 70 THEN 'infinity' ELSE CAST(DATE '2024-01-01' + CAST(i AS INTEGER) AS VARCHAR) END::DATE AS day,
            TIMESTAMP '2024-01-01' + to_hours(i) + to_microseconds(i) AS moment,
            TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_hours(i) AS instant
            FROM range({part * 20}, {part * 20 + 20}) t(i))"""
        path = folder / f"{part}.parquet"
        file = write_parquet(connection, rows, path, rows_of_a_group=2048, report=lambda _: None)
        of = DataFile(
            key=str(part), sha256=file.sha256, bytes=1, rows=file.rows, columns=file.columns
        )
        written.append((path, of))
    return tuple(written)


def numbers_of(files: tuple[tuple[Path, DataFile], ...], sql: str) -> list[int]:
    """Which of the files a statement over `mhclg.homes` needs."""
    return [int(file.key) for file in needed(checked(sql), tuple(of for _, of in files))]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("id = 25", [1]),
        ("25 = id", [1]),
        ("h.id = 25", [1]),
        ('"ID" = 25', [1]),
        ("id IN (1, 239, 5000)", [0, 11]),
        ("id BETWEEN 39 AND 40", [1, 2]),
        ("id >= 220", [11]),
        ("id > 219", [10, 11]),
        ("20 > id", [0, 1]),
        ("id < 100 AND (id > 60 AND ratio > 0)", [3, 4, 5]),
        ("day = '2024-01-25'", [1]),
        ("day = '2030-01-01'", [3]),
        ("day < DATE '2024-01-10'", [0]),
        ("moment >= '2024-01-10 12:00:00'", [11]),
        ("moment >= DATE '2024-01-10' AND upper(name) = 'X'", [10, 11]),
        ("exact >= 29", [11]),
        ("price = 1.25", [0]),
        ("id = -1", [0]),
    ],
)
def test_a_plain_comparison_leaves_out_files_beyond_it(files, where: str, expected) -> None:
    assert numbers_of(files, f"SELECT * FROM mhclg.homes AS h WHERE {where}") == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM mhclg.homes",
        "SELECT * FROM mhclg.homes WHERE id = 25 OR id = 26",
        "SELECT * FROM mhclg.homes WHERE NOT id = 25",
        "SELECT * FROM mhclg.homes WHERE id <> 25",
        "SELECT * FROM mhclg.homes WHERE id IS DISTINCT FROM 25",
        "SELECT * FROM mhclg.homes WHERE id NOT IN (25)",
        "SELECT * FROM mhclg.homes WHERE id NOT BETWEEN 1 AND 25",
        "SELECT * FROM mhclg.homes WHERE id + 1 = 25",
        "SELECT * FROM mhclg.homes WHERE id = 25.0000000001",
        "SELECT * FROM mhclg.homes WHERE id = 2.5e1",
        "SELECT * FROM mhclg.homes WHERE id = '25'",
        "SELECT * FROM mhclg.homes WHERE id = ?",
        "SELECT * FROM mhclg.homes WHERE ratio = 3",
        "SELECT * FROM mhclg.homes WHERE exact = 1.25",
        "SELECT * FROM mhclg.homes WHERE name COLLATE NOCASE = 'e25'",
        "SELECT * FROM mhclg.homes WHERE instant < '2024-01-01 12:00:00'",
        "SELECT * FROM mhclg.homes WHERE moment < CAST('2024-01-05 12:00:00' AS DATE)",
        "SELECT * FROM mhclg.homes WHERE moment < TRY_CAST('2024-01-05' AS DATE)",
        "SELECT * FROM mhclg.homes h (small, id) WHERE id = 25",
        "SELECT * FROM mhclg.homes TABLESAMPLE reservoir(20) REPEATABLE (1) WHERE id = 25",
        "SELECT * FROM mhclg.homes WHERE id = 25 USING SAMPLE 5",
        "SELECT * FROM mhclg.homes WHERE id = 25 UNION ALL FROM mhclg.homes",
        "SELECT * FROM mhclg.homes WHERE id = 25 UNION ALL FROM mhclg.homes.homes",
        "SELECT * FROM mhclg.homes.homes WHERE id = 25 UNION ALL FROM mhclg.homes",
        "SELECT * FROM mhclg.homes WHERE id = 25 AND price < (SELECT max(price) FROM mhclg.homes)",
        "SELECT * FROM mhclg.homes h JOIN mhclg.other o USING (id) WHERE h.id = 25",
        "SELECT * FROM mhclg.other WHERE id = 25 AND EXISTS (FROM mhclg.homes)",
        "SELECT count(*) FILTER (WHERE id = 25) FROM mhclg.homes",
        "SELECT count(*) AS id FROM mhclg.homes HAVING id = 25",
        "SELECT * FROM mhclg.homes QUALIFY id = 25",
    ],
)
def test_what_is_not_plain_leaves_every_file_in(files, sql: str) -> None:
    assert numbers_of(files, sql) == list(range(12))


def test_a_select_inside_a_statement_prunes_its_own_table(files) -> None:
    inner = "SELECT name FROM mhclg.homes.homes WHERE id BETWEEN 41 AND 42"
    assert numbers_of(files, f"WITH h AS ({inner}) SELECT count(*) FROM h, h AS again") == [2]
    assert numbers_of(files, f"SELECT * FROM range(3) WHERE EXISTS ({inner})") == [2]


def constant(random: Random) -> tuple[str, str]:
    """A column and a constant that may be near its values."""
    number = random.randrange(-10, 250)
    return random.choice(
        [
            ("id", str(number)),
            ("id", f"{number}.5"),
            ("id", f"'{number}'"),
            ("small", str(number % 14 - 7)),
            ("price", f"{number / 8:.3f}"),
            ("price", str(number)),
            ("exact", str(number // 8)),
            ("ratio", f"{number / 8}"),
            ("name", f"'E{number}'"),
            ("name", f"'{chr(97 + number % 20)}'"),
            ("name", f"'{chr(97 + number % 20)}é'"),
            ("day", f"DATE '2024-01-01' + {number}"),
            ("day", f"'2024-0{1 + number % 8}-1{number % 9}'"),
            ("day", f"TIMESTAMP '2024-0{1 + number % 8}-1{number % 9} 10:00:00'"),
            ("day", "'infinity'"),
            ("moment", f"'2024-01-0{1 + number % 9} {number % 24:02}:00:00.0000{number % 24:02}'"),
            ("moment", f"DATE '2024-01-0{1 + number % 9}'"),
            ("moment", f"'2024-01-0{1 + number % 9} 10:00:00'::DATE"),
            ("instant", f"'2024-01-0{1 + number % 9} 10:00:00+02'"),
        ]
    )


def comparison(random: Random) -> str:
    column, value = constant(random)
    others = [value, *(f"CAST({value} AS VARCHAR)" for _ in range(random.randrange(2)))]
    return random.choice(
        [
            f"{column} {random.choice(['=', '<', '<=', '>', '>=', '<>'])} {value}",
            f"{value} {random.choice(['=', '<', '<=', '>', '>='])} {column}",
            f"{column} IN ({', '.join(others[:1] * 2)})",
            f"{column} BETWEEN {value} AND {value}",
            f"NOT {column} < {value}",
        ]
    )


def predicate(random: Random) -> str:
    parts = [comparison(random) for _ in range(random.randrange(1, 4))]
    return random.choice([" AND ", " AND ", " OR "]).join(parts)


@pytest.mark.parametrize("seed", range(6))
def test_leaving_files_out_never_changes_a_result(files, seed: int) -> None:
    random = Random(seed)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")

    def answer(sql: str, parts: list[Path]) -> str:
        scan = f"read_parquet({[str(path) for path in parts]})"
        try:
            return repr(connection.execute(sql.replace("mhclg.homes", scan)).fetchall())
        except duckdb.Error as error:
            return type(error).__name__

    left_out = 0
    for _ in range(120):
        asked = predicate(random)
        sql = f"SELECT *, 7 AS day_, row_number() OVER () FROM mhclg.homes AS h WHERE {asked}"
        chosen = {file.key for file in needed(checked(sql), tuple(of for _, of in files))}
        left_out += len(files) - len(chosen)
        kept = [path for path, of in files if of.key in chosen]
        assert answer(sql, kept) == answer(sql, [path for path, _ in files]), asked
    assert left_out > 200
