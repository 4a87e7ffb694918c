"""Act 2: a department and three councils publish real files, as they come."""

from dataclasses import dataclass, field
from typing import Any

from marketplace.client import MarketplaceProblem
from marketplace.demo.act_1_register import DATA
from marketplace.demo.cast import COUNCIL_PUBLISHERS, PUBLISHER, Character
from marketplace.demo.telling import Telling
from marketplace.demo.world import World
from marketplace.wire import PublishedRelease

_OPEN_LICENCE = "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/"
_LEEDS, _TRAFFORD, _MANCHESTER = COUNCIL_PUBLISHERS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publication:
    """One file, who publishes it where, and what they say of it once it was refused."""

    by: Character
    file: str
    address: str
    said: dict[str, Any]
    put_right: dict[str, Any] = field(default_factory=dict)


def _about(title: str, visible_to: str = "local_government") -> dict[str, Any]:
    return {"title": title, "licence": _OPEN_LICENCE, "visible_to": visible_to}


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
        put_right={"last_line": 10_779},
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
        said=_about("Payments to suppliers, 2010 to 2022", visible_to="researcher"),
    ),
)


def publish(world: World, telling: Telling) -> None:
    """Publish every file over HTTP, and tell what was inferred of each."""
    for publication in _PUBLICATIONS:
        telling.person(
            publication.by.name, f"publishes {publication.file} as {publication.address}"
        )
        try:
            made = _send(world, telling, publication, publication.said)
        except MarketplaceProblem as problem:
            made = _put_right(world, telling, publication, problem)
        telling.shown(*made.inferred, _types(made))
        telling.outcome(f"Publish {publication.address}", _told(made))


def _send(
    world: World, telling: Telling, publication: _Publication, said: dict[str, Any]
) -> PublishedRelease:
    path = DATA / publication.file
    with world.acting(publication.by.key) as client, telling.bar(path.name) as report:
        return client.publish(path, publication.address, progress=report, **said)


def _put_right(
    world: World, telling: Telling, publication: _Publication, problem: MarketplaceProblem
) -> PublishedRelease:
    """Do what the refusal says; one that was not expected ends the story."""
    if not publication.put_right:
        raise problem
    telling.shown(problem.detail, problem.next_step)
    telling.outcome(
        f"Publish {publication.address} with the council's own total below the table",
        f"refused: {problem.title}",
    )
    said = ", ".join(f"{name}={value}" for name, value in publication.put_right.items())
    telling.person(publication.by.name, f"publishes it again and says: {said}")
    return _send(world, telling, publication, publication.said | publication.put_right)


def _types(made: PublishedRelease) -> str:
    typed = [f"{one.name} {one.type}" for one in made.table.columns if one.type != "VARCHAR"]
    return f"Typed: {', '.join(typed)}."


def _told(made: PublishedRelease) -> str:
    table = made.table
    return f"release {made.release.number}: {table.rows:,} rows, {len(table.columns)} typed columns"
