"""Act 2: a department and three councils publish real files, as they come."""

from dataclasses import dataclass
from typing import Any

from marketplace.demo.act_1_register import DATA
from marketplace.demo.cast import COUNCIL_PUBLISHERS, PUBLISHER, Character
from marketplace.demo.telling import Telling
from marketplace.demo.world import World
from marketplace.wire import PublishedRelease

_OPEN_LICENCE = "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/"
_LEEDS, _TRAFFORD, _MANCHESTER = COUNCIL_PUBLISHERS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publication:
    """One file, who publishes it, and where."""

    by: Character
    file: str
    address: str
    said: dict[str, Any]


def _about(title: str) -> dict[str, Any]:
    return {"title": title, "licence": _OPEN_LICENCE, "visible_to": "local_government"}


_PUBLICATIONS = (
    _Publication(
        by=PUBLISHER,
        file="temporary_accommodation_2025_q2.csv",
        address="mhclg.temporary_accommodation",
        said=_about("Households in temporary accommodation by council, April to June 2025"),
    ),
    _Publication(
        by=_LEEDS,
        file="leeds_2011-03.csv.gz",
        address="leeds.spending.march_2011",
        said=_about("Payments to suppliers"),
    ),
    _Publication(
        by=_LEEDS,
        file="leeds_2013-07.csv.gz",
        address="leeds.spending.july_2013",
        said={},
    ),
    _Publication(
        by=_TRAFFORD,
        file="trafford_2014-09.csv.gz",
        address="trafford.spending.september_2014",
        said=_about("Payments to suppliers"),
    ),
    _Publication(
        by=_MANCHESTER,
        file="manchester_payments.parquet",
        address="manchester.payments",
        said=_about("Payments to suppliers, 2010 to 2022"),
    ),
)


def publish(world: World, telling: Telling) -> None:
    """Publish every file over HTTP, and tell what was inferred of each."""
    for publication in _PUBLICATIONS:
        path = DATA / publication.file
        telling.person(publication.by.name, f"publishes {path.name} as {publication.address}")
        with world.acting(publication.by.key) as client, telling.bar(path.name) as report:
            made = client.publish(path, publication.address, progress=report, **publication.said)
        telling.shown(*made.inferred)
        telling.outcome(f"Publish {publication.address}", _told(made))


def _told(made: PublishedRelease) -> str:
    table = made.table
    return f"release {made.release.number}: {table.rows:,} rows, {len(table.columns)} typed columns"
