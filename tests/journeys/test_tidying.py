"""Tidying beside a running service: nobody who reads loses what they read."""

from datetime import timedelta

import pyarrow as pa
import pytest

from access_policies.scope import AllRows, TableScope
from marketplace.audit.entries import EntryKind, latest
from marketplace.housekeeping import Tidied

MANY_ROWS = "payment,amount\n" + "".join(f"{n},{n}.25\n" for n in range(300_000))
DAY = timedelta(days=1)
SQL = "SELECT payment, payment * 2 AS twice FROM mhclg.homes"


def test_a_running_query_keeps_its_extract_and_the_next_one_builds_it_again(world, clock) -> None:
    world.publish(MANY_ROWS)
    world.share(columns=("payment",))
    chunks = iter(world.deliver(SQL))
    received = next(chunks)
    clock.advance(2 * DAY)
    assert _tidy(world).extracts_condemned.files == 1
    clock.advance(2 * DAY)
    assert _tidy(world).extracts_removed.files == 1
    assert _stored(world, "extracts/") == []
    received += b"".join(chunks)
    assert pa.ipc.open_stream(received).read_all().num_rows == 300_000
    assert len(world.query(SQL + " LIMIT 5")) == 5
    assert len(_stored(world, "extracts/")) == 1


def test_who_found_an_extract_just_before_it_was_dropped_can_still_fetch_it(world, clock) -> None:
    table = world.publish().table
    scope = TableScope(table="homes", columns=("area",), rows=AllRows())
    files = world.marketplace.extracts.files_for(table, scope)
    clock.advance(2 * DAY)
    assert _tidy(world).extracts_condemned.files == len(files) == 1
    assert _tidy(world).extracts_removed.files == 0
    with world.marketplace.cache.pinned(files) as paths:
        assert paths[0].stat().st_size == files[0].bytes


@pytest.mark.usefixtures("homes")
def test_a_busy_marketplace_loses_nothing_by_being_tidied_daily(world, clock) -> None:
    world.share(columns=("area", "households"))
    rows = world.query("SELECT * FROM mhclg.homes ORDER BY area")
    stored = _stored(world, "")
    for _ in range(5):
        clock.advance(DAY)
        _tidy(world)
        assert world.query("SELECT * FROM mhclg.homes ORDER BY area") == rows
    assert _stored(world, "") == stored
    with world.marketplace.database.reading() as connection:
        assert latest(connection, kinds=[EntryKind.FILES_REMOVED]) == ()


def _tidy(world) -> Tidied:
    return world.marketplace.housekeeping.tidy(grace=DAY, idle=DAY, by="the operator")


def _stored(world, prefix: str) -> list[str]:
    return [found.key for found in world.marketplace.store.list(prefix)]
