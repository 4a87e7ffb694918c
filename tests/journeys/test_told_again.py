"""What a caller was told of a statement a moment ago is told again; anything else is decided anew."""

from datetime import timedelta

import pyarrow as pa
import pytest
from sqlalchemy import text

from catalogue.errors import UnknownDataset
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.errors import AccessDenied, AuditUnavailable, Unauthenticated
from marketplace.query import Description
from tests.journeys.conftest import HOUSEHOLDS, World

SQL = "FROM mhclg.homes"


@pytest.fixture
def told(shared: World) -> Description:
    """What the member was told of `SQL`."""
    return describe(shared)


def describe(world: World, sql: str = SQL, *, by: str = "member") -> Description:
    return world.marketplace.querying.describe(world.principal(by), sql)


def recorded(world: World, kind: EntryKind = EntryKind.READ_DECIDED) -> int:
    world.marketplace.audit.sequence()  # writes what waits to be written with others
    with world.marketplace.database.reading() as connection:
        return len(entries.latest(connection, kinds=(kind,)))


def test_it_is_told_again_within_a_minute_without_another_entry(world, told, clock) -> None:
    before = recorded(world)
    clock.advance(timedelta(seconds=59))
    assert describe(world) == told
    assert recorded(world) == before


def test_after_a_minute_it_is_decided_and_recorded_again(world, told, clock) -> None:
    clock.advance(timedelta(seconds=60))
    again = describe(world)
    assert again.schema == told.schema
    assert again.entry != told.entry


def test_being_told_again_does_not_make_the_minute_longer(world, told, clock) -> None:
    for _ in range(3):
        clock.advance(timedelta(seconds=20))
        again = describe(world)
    assert again.entry != told.entry


def test_the_same_statement_is_not_told_to_somebody_else(world, told) -> None:
    with pytest.raises(AccessDenied):
        describe(world, by="outsider")
    assert describe(world) == told


def test_another_text_is_decided_for_itself(world, told) -> None:
    assert describe(world, f"{SQL} ").entry != told.entry
    with pytest.raises(UnknownDataset):
        describe(world, "FROM mhclg.houses")


def test_a_revocation_ends_it_at_once(world, told) -> None:
    agreement = world.marketplace.sharing.agreements(world.member)[0]
    world.marketplace.sharing.revoke(world.owner, agreement.id, reason="The purpose has ended")
    with pytest.raises(AccessDenied):
        describe(world)


def test_a_token_that_was_revoked_is_told_nothing(world, told) -> None:
    member = world.member
    world.marketplace.administration.revoke_token(member.token_id, by="the operator")
    with pytest.raises(Unauthenticated):
        world.marketplace.querying.describe(member, SQL)


@pytest.mark.usefixtures("homes")
def test_the_last_day_ends_it_at_midnight(world, clock) -> None:
    world.share(last_day=clock().date())
    clock.now = clock.now.replace(hour=23, minute=59, second=50)
    describe(world)
    clock.advance(timedelta(seconds=10))
    with pytest.raises(AccessDenied):
        describe(world)


def test_a_new_release_is_described(world, told) -> None:
    world.publish(HOUSEHOLDS.replace("1200", "1201"), parent=1)
    assert dict(describe(world).releases) == {"mhclg.homes": 2}


def test_a_run_is_decided_and_recorded_however_often_it_was_described(world, told) -> None:
    before = recorded(world)
    delivery = world.marketplace.querying.run(world.member, SQL, Encoding(OutputFormat.ARROW))
    assert pa.ipc.open_stream(b"".join(delivery)).read_all().num_rows == 3
    assert recorded(world) == before + 1


@pytest.mark.usefixtures("homes")
def test_what_tables_there_are_is_looked_at_and_recorded_each_time(world) -> None:
    for looks in (1, 2):
        describe(world, "SHOW ALL TABLES")
        assert recorded(world, EntryKind.CATALOGUE_READ) == looks


def test_a_result_of_very_many_columns_is_described_each_time(world, told) -> None:
    wide = ", ".join(f"1 AS column_{number}" for number in range(400))
    assert describe(world, f"SELECT {wide}").entry != describe(world, f"SELECT {wide}").entry


def test_without_a_database_nothing_is_told_again(world, told, marketplace) -> None:
    with marketplace.database.writing() as connection:
        connection.execute(text("ALTER TABLE policy_revision RENAME TO away"))
    try:
        with pytest.raises(AuditUnavailable):
            world.marketplace.querying.describe(world.member, SQL)
    finally:
        with marketplace.database.writing() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO policy_revision"))
