"""The small world that the benchmarks run in: one organisation with one publisher."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from access_policies.vocabulary import Audience, Role
from marketplace import bootstrap
from marketplace.identity.organisations import Organisation
from marketplace.settings import read_settings

_BY = "the benchmark"


@dataclass(frozen=True)
class World:
    """Who can do what in it, by token."""

    publisher: str


def build_world(data: Path) -> World:
    """Make it in a new data folder."""
    with bootstrap.opened(read_settings({}, data=data)) as marketplace:
        administration = marketplace.administration
        administration.register_organisations(
            [Organisation(name="bench", title="Bench", audience=Audience.GOVERNMENT)], by=_BY
        )
        administration.register_person(
            name="A publisher", email="publisher@bench.example", organisation="bench", by=_BY
        )
        secret, _ = administration.issue_token(
            email="publisher@bench.example",
            role=Role.PUBLISHER,
            organisation="bench",
            expires_at=marketplace.clock() + timedelta(days=1),
            by=_BY,
        )
    return World(publisher=secret)
