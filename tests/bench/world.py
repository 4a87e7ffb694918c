"""The world that the benchmarks run in: one department, its squads, and what they agreed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from data import TABLES, generate_tpch
from plan import Plan
from service import Service, serving

from access_policies.vocabulary import Audience, Role
from catalogue import releases
from catalogue.address import DatasetAddress
from marketplace import bootstrap
from marketplace.administration import Administration
from marketplace.bootstrap import Marketplace
from marketplace.client import connect
from marketplace.database import open_database
from marketplace.identity.organisations import Organisation
from marketplace.identity.projects import Project
from marketplace.settings import read_settings
from marketplace.wire import ApprovalForm, RowsWithValues, ScopeOfTable, ShareRequestForm

ORGANISATION = "bench"
TPCH = f"{ORGANISATION}.tpch"
NATIONS = 25

_BY = "the benchmark"
_SQUAD = "squad"
_OUTSIDERS = "outsiders"
_DAY = timedelta(days=1)

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Who can do what.

    `members` are different people of one squad, which may read all of TPC-H, and `outsider` one
    of another squad, which may too. `scoped` are the same people as `members`, each in a squad of
    their own that may read the customers of all nations but one: squad n those without nation n.
    """

    publisher: str
    owner: str
    members: tuple[str, ...]
    outsider: str
    scoped: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class World:
    """A running service with TPC-H released, and everybody's tokens.

    `released` has the files of each table's release, as they lie in the object store.
    """

    folder: Path
    data: Path
    plan: Plan
    service: Service
    tokens: Tokens
    released: dict[str, tuple[Path, ...]]
    say: Say

    @property
    def url(self) -> str:
        """Where the service speaks HTTP."""
        return self.service.url

    @property
    def members(self) -> tuple[str, ...]:
        """The tokens of the squad that may read all of TPC-H."""
        return self.tokens.members

    @property
    def outsider(self) -> str:
        """The token of somebody else who may too."""
        return self.tokens.outsider


@contextmanager
def opened_world(folder: Path, plan: Plan, say: Say) -> Iterator[World]:
    """Build it in `folder`, which must not hold one yet, and serve it for the length of a block."""
    data = folder / "data"
    with bootstrap.opened(read_settings({}, data=data)) as marketplace:
        tokens = _register(marketplace, plan.clients)
    say(f"Generating TPC-H at scale factor {plan.scale:g}")
    files = generate_tpch(folder.parent, plan.scale)
    with serving(data) as service:
        with connect(service.url, token=tokens.publisher) as publisher:
            for table in TABLES:
                say(f"Publishing {TPCH}.{table}")
                publisher.publish(files[table], f"{TPCH}.{table}")
        say("Agreeing who may read it")
        _agree(service.url, tokens)
        released = released_files(data, TPCH)
        yield World(
            folder=folder,
            data=data,
            plan=plan,
            service=service,
            tokens=tokens,
            released=released,
            say=say,
        )


def released_files(data: Path, dataset: str) -> dict[str, tuple[Path, ...]]:
    """The files of each table of a dataset's newest release, from its manifest."""
    database = open_database(f"sqlite:///{data / 'marketplace.db'}")
    try:
        with database.reading() as connection:
            release = releases.latest(connection, DatasetAddress.parse(dataset))
    finally:
        database.close()
    if release is None:
        raise SystemExit(f"{dataset} was not released.")
    objects = data / "objects"
    return {
        table.name: tuple(objects / file.key for file in table.files) for table in release.tables
    }


def _register(marketplace: Marketplace, clients: int) -> Tokens:
    administration = marketplace.administration
    until = marketplace.clock() + _DAY
    administration.register_organisations(
        [Organisation(name=ORGANISATION, title="Bench", audience=Audience.GOVERNMENT)], by=_BY
    )
    people = [f"member_{number}" for number in range(clients)]
    for name in ("publisher", "owner", "outsider", *people):
        administration.register_person(
            name=name, email=_email(name), organisation=ORGANISATION, by=_BY
        )

    def in_role(name: str, role: Role) -> str:
        return administration.issue_token(
            email=_email(name), role=role, organisation=ORGANISATION, expires_at=until, by=_BY
        )[0]

    def in_project(name: str, project: str) -> str:
        return administration.issue_token(
            email=_email(name), project=project, expires_at=until, by=_BY
        )[0]

    today = marketplace.clock().date()
    squads = [f"{_SQUAD}_{number}" for number in range(clients)]
    _register_project(administration, _SQUAD, people, today)
    _register_project(administration, _OUTSIDERS, ["outsider"], today)
    for name, squad in zip(people, squads, strict=True):
        _register_project(administration, squad, [name], today)
    return Tokens(
        publisher=in_role("publisher", Role.PUBLISHER),
        owner=in_role("owner", Role.OWNER),
        members=tuple(in_project(name, _SQUAD) for name in people),
        outsider=in_project("outsider", _OUTSIDERS),
        scoped=tuple(in_project(n, squad) for n, squad in zip(people, squads, strict=True)),
    )


def _register_project(
    administration: Administration, name: str, people: list[str], today: date
) -> None:
    project = Project(
        name=name,
        title=name.replace("_", " ").capitalize(),
        purpose="Measure how fast answers come.",
        organisation=ORGANISATION,
        audience=Audience.GOVERNMENT,
    )
    administration.register_project(project, by=_BY)
    for person in people:
        administration.add_member(
            project=name, email=_email(person), first_day=today - _DAY, last_day=None, by=_BY
        )


def _agree(url: str, tokens: Tokens) -> None:
    for token in (tokens.members[0], tokens.outsider):
        _agree_one(url, tokens.owner, token, ())
    for number, token in enumerate(tokens.scoped):
        nations = tuple(str(nation) for nation in range(NATIONS) if nation != number)
        rows = RowsWithValues(column="c_nationkey", values=nations)
        _agree_one(
            url, tokens.owner, token, (ScopeOfTable(table="customer", columns=("*",), rows=rows),)
        )


def _agree_one(url: str, owner: str, asker: str, tables: tuple[ScopeOfTable, ...]) -> None:
    form = ShareRequestForm(
        dataset=TPCH,
        tables=tables,
        last_day=datetime.now(UTC).date() + 30 * _DAY,
        data_type="none",
        aims="Measure how fast answers come.",
        how_data_helps="It is large enough to tell.",
        benefits=("service_delivery",),
        power="legislation",
        gateway="DEA2017_S35",
        controller="controller",
        deletion="Nothing is kept.",
    )
    with connect(url, token=asker) as client:
        request = client.ask(form).id
    with connect(url, token=owner) as client:
        client.approve(request, ApprovalForm(reason="It is only a measurement."))


def _email(name: str) -> str:
    return f"{name}@bench.example"
