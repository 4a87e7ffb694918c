"""An extract is made of a release, so one that the store lost or altered is made again; a release is not."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from access_policies.scope import AllRows, TableScope
from catalogue.errors import ObjectCorrupted, ObjectMissing
from marketplace import extract_records

DAY = timedelta(days=1)
SQL = "SELECT * FROM mhclg.homes ORDER BY area"
AREAS = TableScope(table="homes", columns=("area",), rows=AllRows())


def lose(stored: Path) -> None:
    stored.unlink()


def alter(stored: Path) -> None:
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1] + b"!")


DAMAGES = pytest.mark.parametrize("damage", [lose, alter])


@pytest.fixture
def stored(tmp_path: Path, marketplace) -> Callable[[str], Path]:
    """The one file under a prefix of the store, of which no copy is kept elsewhere."""

    def find(prefix: str) -> Path:
        for copy in (tmp_path / "data" / "cache").glob("*.parquet"):
            copy.unlink()
        (found,) = marketplace.store.list(prefix)
        return tmp_path / "data" / "objects" / found.key

    return find


@pytest.mark.usefixtures("homes")
@DAMAGES
def test_an_extract_that_is_lost_or_altered_is_built_again_and_its_rest_goes(
    world, clock, stored, damage: Callable[[Path], None]
) -> None:
    world.share(columns=("area", "households"))
    rows = world.query(SQL)
    before = stored("extracts/")
    damage(before)
    assert world.query(SQL) == rows
    assert world.query(SQL) == rows

    tidy = world.marketplace.housekeeping.tidy
    clock.advance(DAY)
    tidy(grace=DAY, idle=DAY, by="the operator")
    assert stored("extracts/") != before
    assert not before.exists()
    assert world.query(SQL) == rows


@pytest.mark.usefixtures("homes")
@DAMAGES
def test_a_release_that_is_lost_or_altered_is_told_and_nothing_takes_its_place(
    world, stored, damage: Callable[[Path], None]
) -> None:
    world.share(columns=("area", "households"))
    world.query(SQL)
    damage(stored("releases/"))
    stored("extracts/").unlink()
    for _ in range(2):
        with pytest.raises((ObjectMissing, ObjectCorrupted)):
            world.query(SQL)
    world.share()
    with pytest.raises((ObjectMissing, ObjectCorrupted)):
        world.query(SQL)


def test_of_two_who_find_an_extract_broken_the_second_keeps_what_the_first_built(
    world, marketplace, stored
) -> None:
    table = world.publish().table
    lost = marketplace.extracts.files_for(table, AREAS)
    stored("extracts/").unlink()
    with marketplace.extracts.pinned(table, AREAS):
        rebuilt = marketplace.extracts.files_for(table, AREAS)
    key = rebuilt[0].key.split("/")[1]
    with marketplace.database.writing() as connection:
        extract_records.drop_broken(connection, key, lost, now=marketplace.clock())
    assert marketplace.extracts.files_for(table, AREAS) == rebuilt != lost
