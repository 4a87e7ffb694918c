"""Statements that leaked or broke other servers, and more like them, at every exit of the service.

The oracle is a plain DuckDB in a world where the hidden rows and values never existed: what a
caller gets must be what they would get there, or a refusal.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from access_policies.scope import MaskedColumn, NoValue, RowsWithValues, TableScope
from access_policies.vocabulary import Audience
from catalogue.address import DatasetAddress
from marketplace import bootstrap
from marketplace.settings import read_settings
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.vocabulary import DataType, Power
from tests.contract.exits import Exit, Refused, exits, rows_of
from tests.journeys.conftest import LAST_DAY, World

CORPUS = Path(__file__).parent.parent / "fixtures" / "adversarial"
CASES: list[dict[str, str]] = [
    json.loads(line)
    for name in ("sql.jsonl", "more.jsonl")
    for line in (CORPUS / name).read_text().splitlines()
]

EXITS = ("in process", "HTTP", "Flight SQL")
TABLE = "mhclg.temporary_accommodation"
ADDRESS = f"{TABLE}.temporary_accommodation"
ASKED = '"council/temporary_accommodation"'

# The whole table, and what of it the agreement lets out: Liverpool's rows, `nino` masked.
PUBLISHED = """\
id,council,nino,amount,note
1,Liverpool,QQ123456A,10.5,a
2,Liverpool,QQ654321B,20.25,b
3,Leeds,SECRET99Z,987654.75,z
4,Leeds,AB123456C,876543.5,HIDDEN
"""
AGREED = [(1, "Liverpool", None, 10.5, "a"), (2, "Liverpool", None, 20.25, "b")]
HIDDEN = "987654.75 876543.5 HIDDEN SECRET99Z AB123456C QQ123456A QQ654321B 31000".split()  # noqa: SIM905

AT_ITS_LIMITS = ("did not finish within", "needed more than", "needs more memory or scratch space")

# Where the corpus puts the table's name in a place that an address cannot stand in.
BY_HAND = {
    f"SELECT * FROM main.{ASKED}": f"SELECT * FROM {ADDRESS}",
    f"WITH {ASKED} AS (SELECT * FROM {ASKED}) SELECT * FROM {ASKED}": (
        f"WITH temporary_accommodation AS (SELECT * FROM {TABLE}) SELECT * FROM temporary_accommodation"
    ),
    f"SELECT * FROM (SELECT 1 AS one) AS {ASKED}, {ASKED} AS b": (
        f"SELECT * FROM (SELECT 1 AS one) AS temporary_accommodation, {TABLE} AS b"
    ),
    'SELECT * FROM "council/temporary_accommodation\u200b"': (
        'SELECT * FROM mhclg."temporary_accommodation\u200b"'
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One table shared in part, and one that the caller may not know of."""
    folder = tmp_path_factory.mktemp("world")
    settings = read_settings(
        {}, data=folder / "data", query_deadline=30.0, query_memory=700 * 1024**2, query_workers=4
    )
    with bootstrap.opened(settings) as marketplace:
        world = World(marketplace, folder)
        world.publish(PUBLISHED, TABLE)
        world.publish("name,salary\nann,31000\n", "mhclg.salaries", visible_to=Audience.GOVERNMENT)
        share_in_part(world)
        yield world


def share_in_part(world: World) -> None:
    """Ask as the squad's member for Liverpool's rows without `nino`, and approve."""
    scope = TableScope(
        table="temporary_accommodation",
        columns=("id", "council", "nino", "amount", "note"),
        rows=RowsWithValues("council", ("Liverpool",)),
        masks=(MaskedColumn("nino", NoValue()),),
    )
    draft = RequestDraft(
        dataset=DatasetAddress.parse(TABLE),
        tables=(scope,),
        last_day=LAST_DAY,
        data_type=DataType.NONE,
        aims="Fewer families in bed and breakfast",
        power=Power.LEGISLATION,
        power_named="Housing Act 1996, section 208",
    )
    request = world.marketplace.sharing.ask(world.member, draft)
    world.marketplace.sharing.approve(
        world.owner, request.id, Approval(reason="Within the programme")
    )


@pytest.fixture(scope="module")
def by_name(world: World) -> Iterator[dict[str, Exit]]:
    with exits(world.marketplace, world.secret("member")) as found:
        yield found


@pytest.fixture(params=EXITS)
def exit_(request: pytest.FixtureRequest, by_name: dict[str, Exit]) -> Exit:
    """Each way in and out in turn."""
    return by_name[request.param]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole published table as a file, where the statements that name files look for it."""
    root = tmp_path_factory.mktemp("root")
    (root / "council").mkdir()
    (root / "published.csv").write_text(PUBLISHED)
    for name in ("published.parquet", "council/temporary_accommodation.parquet"):
        duckdb.sql(f"COPY (FROM '{root / 'published.csv'}') TO '{root / name}' (FORMAT parquet)")
    return root


class Oracle:
    """A world in which only what is agreed was ever there."""

    def __init__(self, world: World) -> None:
        [view] = world.marketplace.discovery.tables(world.member, lambda _: True)
        columns = ", ".join(f"{column.name} {column.type}" for column in view.columns)
        self._data, self._catalogue = duckdb.connect(), duckdb.connect()
        for connection in (self._data, self._catalogue):
            connection.execute(f"ATTACH ':memory:' AS mhclg; CREATE SCHEMA {TABLE}")
            connection.execute(f"CREATE TABLE {ADDRESS} ({columns})")
        self._data.execute(f"CREATE TABLE mhclg.main.temporary_accommodation ({columns})")
        for name in (ADDRESS, "mhclg.main.temporary_accommodation"):
            self._data.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?)", AGREED)

    def ask(self, sql: str) -> pa.Table:
        of_catalogue = "information_schema" in sql.lower() or sql in ("SHOW ALL TABLES", "DESCRIBE")
        connection = self._catalogue if of_catalogue else self._data
        return connection.sql(sql.split("; --")[0]).to_arrow_table()

    def close(self) -> None:
        self._data.close()
        self._catalogue.close()


@pytest.fixture(scope="module")
def oracle(world: World) -> Iterator[Oracle]:
    oracle = Oracle(world)
    yield oracle
    oracle.close()


def as_asked(case: dict[str, str], root: Path) -> str:
    sql = case["sql"].replace("{root}", str(root)).replace("{outside}", str(root.parent))
    sql = sql.replace("{table}", TABLE).replace("{hidden}", "mhclg.salaries")
    by_hand = BY_HAND.get(sql, sql.replace(ASKED, TABLE).replace('"hr/salaries"', "mhclg.salaries"))
    return by_hand.replace("hr/salaries", "mhclg.salaries")


def outcome(exit_: Exit, sql: str) -> tuple[list[str], list[str]] | Refused:
    try:
        return rows_of(exit_.ask(sql))
    except Refused as refused:
        return refused


def chosen(*expected: str) -> list[object]:
    return [
        pytest.param(case, id=f"{number}-{case['why'][:50]}")
        for number, case in enumerate(CASES, 1)
        if case["expect"] in expected
    ]


@pytest.mark.parametrize("case", chosen("filtered"))
def test_an_honest_shape_answers_as_if_hidden_rows_did_not_exist(
    exit_: Exit, oracle: Oracle, root: Path, case: dict[str, str]
) -> None:
    sql = as_asked(case, root)

    assert rows_of(exit_.ask(sql)) == rows_of(oracle.ask(sql))


@pytest.mark.parametrize("case", chosen("no-leak"))
def test_an_oracle_learns_nothing_of_hidden_rows(
    exit_: Exit, oracle: Oracle, root: Path, case: dict[str, str]
) -> None:
    sql = as_asked(case, root)

    found = outcome(exit_, sql)
    if isinstance(found, Refused):
        check_text(str(found), sql, root)
    else:
        assert found == rows_of(oracle.ask(sql))


@pytest.mark.parametrize("case", chosen("reject"))
def test_a_hostile_statement_is_refused(exit_: Exit, root: Path, case: dict[str, str]) -> None:
    sql = as_asked(case, root)

    found = outcome(exit_, sql)
    assert isinstance(found, Refused), found
    check_text(str(found), sql, root)


@pytest.mark.parametrize("case", chosen("limit"))
def test_a_statement_that_asks_for_too_much_ends_at_its_limits(
    exit_: Exit, world: World, root: Path, case: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.marketplace.querying, "_deadline", 1.0)
    sql = as_asked(case, root)

    found = outcome(exit_, sql)
    assert isinstance(found, Refused), found
    assert [words for words in AT_ITS_LIMITS if words in str(found)], found
    check_text(str(found), sql, root)


@pytest.mark.parametrize("sql", ["SELECT * FROM {}", "DESCRIBE {}", "SELECT (SELECT 1 FROM {}.{})"])
def test_a_table_that_is_hidden_answers_like_one_that_is_not_there(exit_: Exit, sql: str) -> None:
    hidden = outcome(exit_, sql.replace("{}", "mhclg.salaries", 1).replace("{}", "salaries"))
    absent = outcome(exit_, sql.replace("{}", "mhclg.holidays", 1).replace("{}", "holidays"))

    assert isinstance(hidden, Refused)
    assert str(hidden).replace("salaries", "holidays") == str(absent)


def test_all_is_well_after_all_of_them(exit_: Exit) -> None:
    assert exit_.ask(f"SELECT count(*) AS n FROM {TABLE}").to_pylist() == [{"n": 2}]


def test_every_case_of_the_corpus_is_run() -> None:
    assert sum(len(chosen(kind)) for kind in ("filtered", "no-leak", "reject", "limit")) == len(
        CASES
    )
    assert len(CASES) > 103 + 300


def check_text(text: str, sql: str, root: Path) -> None:
    """A refusal tells no hidden value but one that was guessed, and nothing of this machine."""
    assert not [word for word in HIDDEN if word in text and word not in sql]
    places = [str(root.parent), "/tmp/", "/proc/", ".parquet", "site-packages", "duckdb.cpp"]
    assert not [place for place in places if place in text and place not in sql]
