"""Journey 1: what makes a release, what is refused, and what is left behind when it is."""

from contextlib import ExitStack

import pytest
from sqlalchemy.exc import OperationalError

from access_policies.vocabulary import Audience
from catalogue import releases
from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import Release
from catalogue.errors import (
    ContractBroken,
    IntentExpired,
    ReleaseConflict,
    ReleaseUnchanged,
    StoreUnfit,
)
from connectors.errors import StoreUnavailable
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.errors import AccessDenied, FileUnreadable, ServiceBusy, answer_for
from marketplace.publish import Publishing

HOMES = DatasetAddress("mhclg", "homes")

NEXT_QUARTER = """\
area_code,area,households,children
E08000012,Liverpool,1300,950
"""


def test_a_file_becomes_the_first_release_and_its_columns_the_contract(world) -> None:
    published = world.publish()
    assert published.release.number == 1
    assert [(c.name, c.type, c.place) for c in published.table.schema.columns] == [
        ("area_code", "VARCHAR", True),
        ("area", "VARCHAR", False),
        ("households", "BIGINT", False),
        ("children", "BIGINT", False),
    ]
    assert published.table.rows == 3


def test_the_next_file_becomes_the_next_release_and_the_first_stays_as_it_was(world) -> None:
    first = world.publish().release
    second = world.publish(NEXT_QUARTER).release
    assert second.number == 2
    with world.marketplace.database.reading() as connection:
        assert releases.read(connection, HOMES, 1) == first


@pytest.mark.usefixtures("homes")
def test_publishing_the_same_file_again_is_refused_and_says_that_it_is_there(world) -> None:
    with pytest.raises(ReleaseUnchanged, match="already holds exactly this file") as refused:
        world.publish()
    assert answer_for(refused.value).title == "Nothing new to publish"
    assert _latest(world).number == 1


@pytest.mark.usefixtures("homes")
def test_a_publisher_who_builds_on_an_older_release_is_refused(world) -> None:
    world.publish(NEXT_QUARTER)
    with pytest.raises(ReleaseConflict, match="stands at release 2"):
        world.publish(NEXT_QUARTER.replace("1300", "1301"), parent=1)
    assert _latest(world).number == 2


@pytest.mark.usefixtures("homes")
def test_a_file_that_breaks_the_contract_is_refused_line_by_line(world) -> None:
    with pytest.raises(ContractBroken) as refusal:
        world.publish(
            "area_code,area,households,children\n"
            "E08000012,Liverpool,1300,950\n"
            "E08000039,Sheffield,many,680\n"
        )
    assert any("line 3" in line and "households" in line for line in refusal.value.lines)
    assert _latest(world).number == 1
    refused = _last(world, EntryKind.PUBLISH_REFUSED)
    assert refused.facts["refused_as"] == "ContractBroken"
    assert "many" not in str(refused)


def test_a_file_that_is_no_table_leaves_nothing_half_done(world) -> None:
    with pytest.raises(FileUnreadable):
        world.publish("")
    with world.marketplace.database.reading() as connection:
        assert releases.latest(connection, HOMES) is None
    assert list(world.marketplace.store.list("releases/")) == []


def test_who_is_no_publisher_of_the_organisation_is_refused(world) -> None:
    for name in ("owner", "member", "auditor"):
        with pytest.raises(AccessDenied):
            world.publish(by=name)
    with pytest.raises(AccessDenied):
        world.publish(address="sheffield.homes")
    assert _latest(world) is None


def test_a_dataset_of_two_tables_keeps_the_one_that_is_not_published_again(world) -> None:
    world.publish(address="mhclg.homes.quarter_one")
    release = world.publish(NEXT_QUARTER, address="mhclg.homes.quarter_two").release
    assert [table.name for table in release.tables] == ["quarter_one", "quarter_two"]
    world.share("mhclg.homes.quarter_two")
    assert world.query("SELECT households FROM mhclg.homes.quarter_two") == [{"households": 1300}]
    with pytest.raises(AccessDenied, match="does not cover"):
        world.query("SELECT households FROM mhclg.homes.quarter_one")


@pytest.mark.usefixtures("homes")
@pytest.mark.parametrize("failure", [StoreUnavailable, StoreUnfit])
def test_a_store_that_fails_leaves_the_release_before_as_it_was(
    world, monkeypatch, failure
) -> None:

    def failing(*_: object) -> None:
        raise failure("The store does not answer.")

    monkeypatch.setattr(type(world.marketplace.store), "put", failing)
    with pytest.raises(failure):
        world.publish(NEXT_QUARTER)
    assert _latest(world).number == 1


def test_a_commit_whose_answer_is_lost_is_told_as_what_became_of_it(world, monkeypatch) -> None:
    commit = Publishing._commit

    def answer_lost(self: Publishing, *given: object) -> Release:
        commit(self, *given)
        raise OperationalError("COMMIT", None, OSError("the connection is gone"))

    monkeypatch.setattr(Publishing, "_commit", answer_lost)
    assert world.publish().release.number == 1
    assert _latest(world).number == 1


def test_a_commit_that_never_happened_is_told_as_failed_and_cannot_happen_later(
    world, monkeypatch
) -> None:
    tried: list[object] = []

    def failed(_: Publishing, *given: object) -> Release:
        tried.extend(given)
        raise OperationalError("COMMIT", None, OSError("the connection is gone"))

    commit = Publishing._commit
    monkeypatch.setattr(Publishing, "_commit", failed)
    with pytest.raises(OperationalError):
        world.publish()
    monkeypatch.undo()
    with pytest.raises(IntentExpired):
        commit(world.marketplace.publishing, *tried)
    assert _latest(world) is None


def test_more_files_at_once_than_the_service_reads_are_asked_to_come_again(
    world, monkeypatch
) -> None:
    monkeypatch.setattr("marketplace.publish._PATIENCE", 0.0)
    publishing = world.marketplace.publishing
    places = world.marketplace.settings.ingests_at_once
    with ExitStack() as held:
        for _ in range(places):
            held.enter_context(publishing._place())
        with pytest.raises(ServiceBusy):
            world.publish()
    assert world.publish().release.number == 1


def test_the_process_that_reads_a_file_starts_while_the_file_comes(world) -> None:
    publishing, scratch = world.marketplace.publishing, world.marketplace.scratch.path
    with pytest.raises(AccessDenied):
        publishing.expect(world.member, TableAddress.parse("mhclg.homes"))
    assert list(scratch.glob("ingest-*")) == []
    for _ in range(3):
        publishing.expect(world.publisher, TableAddress.parse("mhclg.homes"))
    [waiting] = scratch.glob("ingest-*")
    assert world.publish().release.number == 1
    assert not waiting.exists()


def test_a_release_its_listing_and_its_record_commit_together_or_not_at_all(
    world, monkeypatch
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("marketplace.publish.record", broken)
    with pytest.raises(OSError, match="disk full"):
        world.publish()
    monkeypatch.undo()
    assert _latest(world) is None
    assert world.marketplace.discovery.search(world.publisher) == ()


def test_who_may_not_know_of_a_dataset_does_not_find_it(world) -> None:
    world.publish(visible_to=Audience.GOVERNMENT)
    assert world.marketplace.discovery.search(world.member) == ()
    world.publish(address="mhclg.rough_sleeping", visible_to=Audience.LOCAL_GOVERNMENT)
    found = world.marketplace.discovery.search(world.member, "sleeping homes")
    assert [str(dataset.address) for dataset in found] == ["mhclg.rough_sleeping"]


def _latest(world) -> Release | None:
    with world.marketplace.database.reading() as connection:
        return releases.latest(connection, HOMES)


def _last(world, kind: EntryKind) -> entries.RecordedEntry:
    with world.marketplace.database.reading() as connection:
        return entries.latest(connection, kinds=(kind,), limit=1)[0]
