"""Extracts are there before somebody waits for them; and whoever must wait is told how far they are."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from access_policies.scope import AllRows, TableScope
from catalogue.dataset import ReleaseTable
from marketplace import bootstrap, extract_records
from marketplace.bootstrap import Marketplace
from marketplace.client.errors import MarketplaceProblem
from marketplace.engine.extract.build import ExtractBuilder
from marketplace.errors import ExtractNotReady, QueryFailed
from marketplace.settings import read_settings

AREAS = TableScope(table="homes", columns=("area",), rows=AllRows())
MORE = "area_code,area,households,children\nE08000035,Leeds,1,2\n"


@pytest.fixture
def prepared(world, marketplace) -> Callable[[], int]:
    """Wait for all that is to be prepared; how many extracts there are then."""
    marketplace.preparation.start()

    def prepared() -> int:
        done = Event()

        def job() -> Iterator[tuple[ReleaseTable, TableScope]]:
            done.set()
            yield from ()

        marketplace.preparation._take(job)
        assert done.wait(60)
        return len(list(marketplace.store.list(extract_records.PREFIX)))

    return prepared


def test_an_agreement_has_its_extract_before_its_first_query(world, prepared) -> None:
    world.publish()
    world.share(columns=("area",))
    assert prepared() == 1
    assert len(world.query("SELECT area FROM mhclg.homes")) == 3
    assert prepared() == 1


def test_a_release_has_the_extracts_of_agreements_in_recent_use(world, clock, prepared) -> None:
    world.publish()
    last_day = date(2027, 6, 30)
    world.share(columns=("area",), last_day=last_day)
    world.share(columns=("area", "children"), last_day=last_day, to="outsider")
    assert prepared() == 2
    clock.advance(timedelta(days=40))
    world.query("SELECT area FROM mhclg.homes")

    world.publish(MORE)

    assert prepared() == 3
    assert world.query("SELECT area FROM mhclg.homes") == [{"area": "Leeds"}]
    assert prepared() == 3


def test_what_cannot_be_prepared_is_left_to_its_first_query(
    world, marketplace, prepared, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    world.publish()
    with monkeypatch.context() as broken:
        broken.setattr(ExtractBuilder, "build", _fails)
        world.share(columns=("area",))
        assert prepared() == 0
    assert "An extract was not prepared: QueryFailed" in caplog.text
    assert len(world.query("SELECT area FROM mhclg.homes")) == 3


def _fails(*_: object, **__: object) -> None:
    raise QueryFailed("The disk is on fire.")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Builds are begun, say that they are at 40 %, and go on when this is set."""
    go_on = Event()
    build = ExtractBuilder.build

    def slow(self: ExtractBuilder, *arguments: object, report, **options: object) -> object:
        report(0.4)
        assert go_on.wait(60)
        return build(self, *arguments, report=report, **options)

    monkeypatch.setattr(ExtractBuilder, "build", slow)
    yield go_on
    go_on.set()


def test_who_waits_too_long_is_told_how_far_it_is_and_the_work_goes_on(
    world, marketplace, held: Event, acting
) -> None:
    world.publish()
    world.share(columns=("area",))
    marketplace.extracts._patience = 0.5
    begun = monotonic()
    with pytest.raises(MarketplaceProblem) as told:
        acting("member").query("SELECT area FROM mhclg.homes").to_arrow()
    assert monotonic() - begun < 30
    assert (told.value.status, told.value.exit_code) == (503, 8)
    assert "40% is done" in told.value.detail

    held.set()
    marketplace.extracts._patience = 60
    assert len(world.query("SELECT area FROM mhclg.homes")) == 3
    assert len(list(marketplace.store.list(extract_records.PREFIX))) == 1


def test_an_extract_is_built_once_by_many_threads_of_two_processes(
    world, marketplace, tmp_path: Path, database_url: str, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world.publish().table
    built = []
    build = ExtractBuilder.build

    def counted(self: ExtractBuilder, *arguments: object, **options: object) -> object:
        built.append(self)
        return build(self, *arguments, **options)

    monkeypatch.setattr(ExtractBuilder, "build", counted)
    settings = read_settings({}, data=tmp_path / "data", database=database_url)
    with ExitStack() as stack:
        # Another process on the same data folder, as far as files and locks are concerned.
        other: Marketplace = stack.enter_context(bootstrap.opened(settings, clock=clock))
        threads = stack.enter_context(ThreadPoolExecutor(8))
        both = (marketplace, other) * 4
        found = list(threads.map(lambda one: one.extracts.files_for(table, AREAS), both))

    assert len(built) == 1
    assert found == found[:1] * 8


def test_a_service_that_stops_tells_those_who_wait(world, marketplace, held: Event) -> None:
    table = world.publish().table
    marketplace.extracts._patience = 0.1
    with pytest.raises(ExtractNotReady):
        marketplace.extracts.files_for(table, AREAS)
    held.set()
    marketplace.extracts.close()
    with pytest.raises(Exception, match="stopping"):
        marketplace.extracts.files_for(table, AREAS)
