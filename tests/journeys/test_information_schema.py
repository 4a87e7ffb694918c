"""information_schema tells each caller of the tables that they may know of, and is recorded."""

import pytest

from access_policies.vocabulary import Audience
from catalogue.errors import UnknownDataset
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from tests.journeys.conftest import World

COLUMNS = """
    SELECT table_catalog, table_schema, table_name, column_name, data_type
    FROM information_schema.columns ORDER BY ALL
"""


def columns(world: World, by: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in world.query(COLUMNS, by=by)]


def test_each_caller_is_told_of_what_they_may_know_of_with_the_columns_agreed(world: World) -> None:
    world.publish(visible_to=Audience.GOVERNMENT)
    world.publish("code,rough_sleepers\nE08000039,31\n", "mhclg.rough_sleeping")
    world.publish("code,pay\nE08000039,31000\n", "mhclg.salaries", visible_to=Audience.GOVERNMENT)
    world.share("mhclg.rough_sleeping", columns=("rough_sleepers",))

    sleepers = ("mhclg", "rough_sleeping", "rough_sleeping", "rough_sleepers", "BIGINT")
    code = ("mhclg", "rough_sleeping", "rough_sleeping", "code", "VARCHAR")
    assert columns(world, "member") == [sleepers]
    assert columns(world, "outsider") == [code, sleepers]
    assert {row[1] for row in columns(world, "owner")} == {"homes", "rough_sleeping", "salaries"}


@pytest.mark.usefixtures("shared")
def test_what_is_told_can_be_described_and_read_under_its_quoted_names(world: World) -> None:
    [found] = world.query("SELECT * FROM information_schema.tables")

    quoted = f'"{found["table_catalog"]}"."{found["table_schema"]}"."{found["table_name"]}"'
    assert world.query(f'SELECT "area" FROM {quoted} AS "t" WHERE "t"."children" > 4000') == [
        {"area": "Manchester"}
    ]
    described = world.query(f"DESCRIBE {quoted}")
    assert {(row["column_name"], row["column_type"]) for row in described} == {
        (name, kind) for *_, name, kind in columns(world, "member")
    }


@pytest.mark.usefixtures("shared")
def test_names_fold_as_sql_folds_them_and_no_further(world: World) -> None:

    assert world.query('SELECT count(*) AS n FROM "MHCLG"."Homes"') == [{"n": 3}]
    with pytest.raises(Exception, match="not the address"):
        world.query('SELECT * FROM "mhclg"."home\u017f"')  # a long s folds to s in Unicode alone
    with pytest.raises(UnknownDataset):
        world.query('SELECT * FROM "mhclg"."homess"')


@pytest.mark.usefixtures("homes")
def test_a_look_at_the_catalogue_is_recorded_as_one_and_as_a_statement(world: World) -> None:
    delivery = world.deliver("SHOW ALL TABLES")
    assert b"".join(delivery)

    world.marketplace.audit.sequence()
    with world.marketplace.database.reading() as connection:
        decided = entries.find(connection, delivery.entry)
        looked = entries.latest(connection, kinds=(EntryKind.CATALOGUE_READ,))
    assert decided.person["sql"] == "SHOW ALL TABLES"
    assert (decided.facts["allowed"], decided.facts["tables"]) == (True, [])
    assert [entry.facts["found"] for entry in looked] == [1]


@pytest.mark.usefixtures("homes")
def test_it_is_described_to_a_client_that_prepares(world: World) -> None:

    described = world.marketplace.querying.describe(world.member, "FROM information_schema.tables")
    assert b"table_catalog" in described.schema
