"""Statements that leaked or broke other servers, run through the check and a worker over an extract.

The oracle is a plain DuckDB in a world where the hidden rows and values never existed: what a
caller gets must be what they would get there, or a refusal.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from access_policies.scope import RowsWithValues
from catalogue.address import TableAddress
from catalogue.errors import Problem
from marketplace.engine.extract.build import ExtractBuilder
from marketplace.engine.extract.extract_messages import ExtractColumn
from marketplace.engine.limits import Limits
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.view_map import BoundTable, ViewMap
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryFailed, QueryTimedOut, QueryTooLarge, StatementRefused

CORPUS = Path(__file__).parent.parent / "fixtures" / "adversarial" / "sql.jsonl"
CASES: list[dict[str, str]] = [json.loads(line) for line in CORPUS.read_text().splitlines()]

LIMITS = Limits(memory=700 * 1024**2, threads=2, deadline=20.0)
ADDRESS = TableAddress("council", "temporary_accommodation", "temporary_accommodation")
OWN = {("council", "temporary_accommodation"), ("council",) + ("temporary_accommodation",) * 2}
ASKED = '"council/temporary_accommodation"'

# The whole table, and what of it the agreement lets out: Liverpool's rows, `nino` masked.
PUBLISHED = """
    SELECT * FROM (VALUES
        (1, 'Liverpool', NULL::VARCHAR, 10.5, 'a'), (2, 'Liverpool', NULL, 20.25, 'b'),
        (3, 'Leeds', 'SECRET99Z', 987654.75, 'z'), (4, 'Leeds', 'AB123456C', 876543.5, 'HIDDEN')
    ) t(id, council, nino, amount, note)
"""
HIDDEN = ("987654.75", "876543.5", "HIDDEN", "SECRET99Z", "AB123456C")

# Where the corpus puts the table's name in a place that an address cannot stand in.
BY_HAND = {
    f"SELECT * FROM main.{ASKED}": f"SELECT * FROM {ADDRESS}",
    f"WITH {ASKED} AS (SELECT * FROM {ASKED}) SELECT * FROM {ASKED}": (
        "WITH temporary_accommodation AS (SELECT * FROM council.temporary_accommodation) "
        "SELECT * FROM temporary_accommodation"
    ),
    f"SELECT * FROM (SELECT 1 AS one) AS {ASKED}, {ASKED} AS b": (
        "SELECT * FROM (SELECT 1 AS one) AS temporary_accommodation, "
        "council.temporary_accommodation AS b"
    ),
    'SELECT * FROM "council/temporary_accommodation\u200b"': (
        'SELECT * FROM council."temporary_accommodation\u200b"'
    ),
}
# Refused although the corpus lets them pass: they answer with what the engine holds, and the
# marketplace answers that itself.
ALSO_REFUSED = {"SELECT * FROM information_schema.tables", "SHOW TABLES"}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryWorkers]:
    pool = QueryWorkers(LIMITS, places=2, spares=1, scratch=tmp_path_factory.mktemp("scratch"))
    yield pool.start()
    pool.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "council").mkdir()
    path = root / "council" / "temporary_accommodation.parquet"
    duckdb.sql(f"COPY ({PUBLISHED}) TO '{path}' (FORMAT parquet)")
    return root


@pytest.fixture(scope="module")
def views(root: Path, tmp_path_factory: pytest.TempPathFactory) -> ViewMap:
    """The extract of the one agreement, and nothing else."""
    into = tmp_path_factory.mktemp("extract")
    builder = ExtractBuilder(LIMITS, scratch=tmp_path_factory.mktemp("scratch"))
    written = builder.build(
        (root / "council" / "temporary_accommodation.parquet",),
        columns=[ExtractColumn(name) for name in ("id", "council", "nino", "amount", "note")],
        conditions=(RowsWithValues("council", ("Liverpool",)),),
        into=into,
    )
    builder.close()
    return (BoundTable(ADDRESS, True, tuple(file.path for file in written)),)


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    """A world in which only the visible rows were ever there."""
    with duckdb.connect() as connection:
        connection.execute(
            "ATTACH ':memory:' AS council; CREATE SCHEMA council.temporary_accommodation"
        )
        visible = f"{PUBLISHED} WHERE council = 'Liverpool'"
        for name in ("council.main.temporary_accommodation", str(ADDRESS)):
            connection.execute(f"CREATE TABLE {name} AS {visible}")
        yield connection


def as_asked(case: dict[str, str], root: Path) -> str:
    sql = case["sql"].replace("{root}", str(root)).replace("{outside}", str(root.parent))
    translated = sql.replace(ASKED, "council.temporary_accommodation")
    return BY_HAND.get(sql, translated.replace('"hr/salaries"', "hr.salaries"))


def ask(workers: QueryWorkers, views: ViewMap, sql: str) -> Any:
    """What the service does: check, decide on the tables by name, run."""
    statement = workers.parse(sql)
    if not statement.tables <= OWN:
        raise StatementRefused(f"unknown: {statement.tables - OWN}")
    data = b"".join(workers.run(views, sql, Encoding(OutputFormat.ARROW), deadline=1.5))
    return pa.ipc.open_stream(data).read_all()


def rows_or_refusal(
    workers: QueryWorkers, views: ViewMap, sql: str
) -> list[dict[str, Any]] | Problem:
    try:
        rows: list[dict[str, Any]] = ask(workers, views, sql).to_pylist()
    except Problem as problem:
        return problem
    return rows


def chosen(*expected: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{number}-{case['why'][:50]}")
        for number, case in enumerate(CASES, 1)
        if case["expect"] in expected
    ]


@pytest.mark.parametrize("case", chosen("filtered"))
def test_an_honest_shape_answers_as_if_hidden_rows_did_not_exist(
    workers: QueryWorkers,
    views: ViewMap,
    oracle: duckdb.DuckDBPyConnection,
    root: Path,
    case: dict[str, str],
) -> None:
    sql = as_asked(case, root)

    expected = oracle.sql(sql).to_arrow_table().to_pylist()
    found = ask(workers, views, sql).to_pylist()
    # Some shapes leave the order of rows open.
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize("case", chosen("no-leak"))
def test_an_oracle_learns_nothing_of_hidden_rows(
    workers: QueryWorkers,
    views: ViewMap,
    oracle: duckdb.DuckDBPyConnection,
    root: Path,
    case: dict[str, str],
) -> None:
    sql = as_asked(case, root)

    outcome = rows_or_refusal(workers, views, sql)
    if isinstance(outcome, Problem):
        assert isinstance(outcome, StatementRefused | QueryFailed)
        assert not [word for word in HIDDEN if word in outcome.detail and word not in sql]
    else:
        assert sql not in ALSO_REFUSED
        assert outcome == oracle.sql(sql).to_arrow_table().to_pylist()


@pytest.mark.parametrize("case", chosen("reject"))
def test_a_hostile_statement_is_refused_or_ends_at_its_limits(
    workers: QueryWorkers, views: ViewMap, root: Path, case: dict[str, str]
) -> None:
    with pytest.raises((StatementRefused, QueryTimedOut, QueryTooLarge)):
        ask(workers, views, as_asked(case, root))

    assert ask(workers, views, "SELECT count(*) AS n FROM council.temporary_accommodation").to_pylist() == [{"n": 2}]  # fmt: skip


def test_every_case_of_the_corpus_is_run() -> None:
    assert sum(len(chosen(kind)) for kind in ("filtered", "no-leak", "reject")) == len(CASES) == 103
