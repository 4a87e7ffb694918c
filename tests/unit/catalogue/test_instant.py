from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import StatementError

from catalogue.instant import UtcDateTime
from marketplace.database import Database

moments = Table(
    "moments", MetaData(), Column("n", Integer, primary_key=True), Column("at", UtcDateTime)
)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def kept(database: Database) -> Database:
    with database.writing() as connection:
        moments.create(connection)
    return database


def test_a_moment_comes_back_the_same_and_in_utc(kept: Database) -> None:
    london = timezone(timedelta(hours=1))
    given = [NOON.replace(microsecond=1), NOON.astimezone(london), None]
    with kept.writing() as connection:
        connection.execute(insert(moments), [{"n": n, "at": at} for n, at in enumerate(given)])
    with kept.reading() as connection:
        found = list(connection.execute(select(moments.c.at).order_by(moments.c.n)).scalars())
    assert found == given
    assert [at.tzinfo for at in found if at] == [UTC, UTC]


def test_moments_compare_and_sort_as_moments(kept: Database) -> None:
    early = NOON.replace(tzinfo=timezone(timedelta(hours=9)))
    ordered = [early, NOON, NOON + timedelta(microseconds=1), NOON + timedelta(seconds=1)]
    with kept.writing() as connection:
        rows = [{"n": n, "at": at} for n, at in enumerate(reversed(ordered))]
        connection.execute(insert(moments), rows)
        sorting = select(moments.c.at).order_by(moments.c.at)
        assert list(connection.execute(sorting).scalars()) == ordered
        after = sorting.where(moments.c.at > NOON)
        assert list(connection.execute(after).scalars()) == ordered[2:]


def test_a_moment_without_a_zone_is_refused(kept: Database) -> None:
    with kept.writing() as connection, pytest.raises(StatementError, match="time zone"):
        connection.execute(insert(moments), {"n": 1, "at": NOON.replace(tzinfo=None)})
