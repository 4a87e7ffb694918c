"""A small country to walk the journeys in: a ministry, two councils, a company, one squad."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from access_policies.scope import AllRows, RowScope, TableScope
from access_policies.vocabulary import Audience, Role
from catalogue.address import TableAddress
from catalogue.dataset import Handling
from marketplace import bootstrap
from marketplace.bootstrap import Marketplace
from marketplace.client import Client, connect
from marketplace.delivery import Delivery
from marketplace.engine.limits import Limits
from marketplace.engine.query import workers
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.statement_parser import StatementParser
from marketplace.identity.organisations import Organisation
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.identity.tokens import authenticate
from marketplace.publish import DatasetDetails, Published
from marketplace.rollout.proposals import Proposal, Target
from marketplace.serve import running
from marketplace.settings import read_settings
from marketplace.sharing.agreements import Agreement
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.vocabulary import DataType, Power
from tests.conftest import SettableClock
from tests.postgres_databases import Content, PostgresDatabases, content_of, fill

ARROW = Encoding(OutputFormat.ARROW)

BY = "the operator"
LAST_DAY = date(2026, 12, 31)

HOUSEHOLDS = """\
area_code,area,households,children
E08000012,Liverpool,1200,900
E08000039,Sheffield,614,679
E08000003,Manchester,2800,4100
"""


class World:
    """The running marketplace, and people in it by what they are.

    They are entered, unless `secrets` has the tokens of those who were entered before.
    """

    def __init__(
        self, marketplace: Marketplace, folder: Path, secrets: dict[str, str] | None = None
    ) -> None:
        self.marketplace = marketplace
        self._folder = folder
        self._secrets = dict(secrets or {})
        if secrets is None:
            self._enter()

    @property
    def secrets(self) -> dict[str, str]:
        """Everybody's token."""
        return dict(self._secrets)

    @property
    def publisher(self) -> Principal:
        """A publisher of the ministry."""
        return self.principal("publisher")

    @property
    def owner(self) -> Principal:
        """The ministry's information asset owner."""
        return self.principal("owner")

    @property
    def member(self) -> Principal:
        """A member of the Sheffield squad."""
        return self.principal("member")

    @property
    def outsider(self) -> Principal:
        """A member of another squad, in Manchester."""
        return self.principal("outsider")

    def secret(self, name: str) -> str:
        """The token of a person."""
        return self._secrets[name]

    def principal(self, name: str) -> Principal:
        """Whom a person's token stands for now."""
        with self.marketplace.database.reading() as connection:
            return authenticate(connection, self._secrets[name], now=self.marketplace.clock())

    def publish(
        self,
        text: str = HOUSEHOLDS,
        address: str = "mhclg.homes",
        *,
        by: str = "publisher",
        parent: int | None = None,
        visible_to: Audience = Audience.LOCAL_GOVERNMENT,
        handling: Handling = Handling.NONE,
    ) -> Published:
        """Publish CSV text."""
        file = self._folder / "published.csv"
        file.write_text(text)
        return self.marketplace.publishing.publish(
            self.principal(by),
            file,
            file.name,
            TableAddress.parse(address),
            details=DatasetDetails(title="Homes", visible_to=visible_to, handling=handling),
            parent=parent,
        )

    def share(
        self,
        address: str = "mhclg.homes",
        *,
        rows: RowScope | None = None,
        columns: tuple[str, ...] = ("*",),
        last_day: date = LAST_DAY,
        to: str = "member",
    ) -> Agreement:
        """Ask as a squad member and approve as the owner."""
        table = TableAddress.parse(address)
        scope = TableScope(table=table.name, columns=columns, rows=rows or AllRows())
        draft = RequestDraft(
            dataset=table.dataset_address,
            tables=(scope,),
            last_day=last_day,
            data_type=DataType.NONE,
            aims="Fewer families in bed and breakfast",
            power=Power.LEGISLATION,
            power_named="Housing Act 1996, section 208",
        )
        request = self.marketplace.sharing.ask(self.principal(to), draft)
        approval = Approval(reason="Within the programme")
        return self.marketplace.sharing.approve(self.owner, request.id, approval)

    def hire(self, name: str, home: str = "mhclg") -> str:
        """Enter somebody and return their e-mail address."""
        email = f"{name}@{home}.example"
        self.marketplace.administration.register_person(
            name=name, email=email, organisation=home, by=BY
        )
        return email

    def sign_in(self, name: str, email: str, **what: Any) -> Principal:
        """Issue a token, keep its secret under a name, and say whom it stands for."""
        self._secrets[name], _ = self.marketplace.administration.issue_token(
            email=email,
            expires_at=self.marketplace.clock() + timedelta(days=700),
            by=BY,
            **what,
        )
        return self.principal(name)

    def move(self, target: Target) -> Proposal:
        """Propose a move of the rollout as one operator and confirm it as another."""
        rollout = self.marketplace.rollout
        proposal = rollout.propose(
            self.principal("operator"), target, reason="It is time", override="A test of moves"
        )
        return rollout.confirm(self.principal("colleague"), proposal.id, reason="Agreed")

    def deliver(self, sql: str, *, by: str = "member", output: Encoding = ARROW) -> Delivery:
        """Start a query and leave its bytes to be read."""
        return self.marketplace.querying.run(self.principal(by), sql, output)

    def query(self, sql: str, *, by: str = "member") -> list[dict[str, object]]:
        """Run a query and read all of its rows."""
        read = pa.ipc.open_stream(b"".join(self.deliver(sql, by=by))).read_all()
        rows: list[dict[str, object]] = read.to_pylist()
        return rows

    def _enter(self) -> None:
        administration = self.marketplace.administration
        administration.register_organisations(
            [
                Organisation(name="mhclg", title="Ministry", audience=Audience.GOVERNMENT),
                Organisation(
                    name="sheffield", title="Sheffield", audience=Audience.LOCAL_GOVERNMENT
                ),
                Organisation(
                    name="manchester", title="Manchester", audience=Audience.LOCAL_GOVERNMENT
                ),
                Organisation(name="acme", title="A company", audience=Audience.BUSINESS),
            ],
            by=BY,
        )
        administration.open_first_stage(Audience.LOCAL_GOVERNMENT, by=BY)
        self._employ("publisher", "mhclg", role=Role.PUBLISHER)
        self._employ("owner", "mhclg", role=Role.OWNER)
        self._employ("auditor", "mhclg", role=Role.AUDITOR)
        self._employ("operator", "mhclg", role=Role.OPERATOR)
        self._employ("colleague", "mhclg", role=Role.OPERATOR)
        self._squad("sheffield", member="member")
        self._squad("manchester", member="outsider")

    def _squad(self, council: str, *, member: str) -> None:
        project = f"{council}_squad"
        self.marketplace.administration.register_project(
            Project(
                name=project,
                title=f"The {council} squad",
                purpose="Families out of temporary accommodation",
                organisation=council,
                audience=Audience.LOCAL_GOVERNMENT,
            ),
            by=BY,
        )
        self._employ(member, council, project=project)

    def _employ(
        self, name: str, organisation: str, *, role: Role | None = None, project: str | None = None
    ) -> None:
        administration = self.marketplace.administration
        email = f"{name}@{organisation}.example"
        administration.register_person(name=name, email=email, organisation=organisation, by=BY)
        if project is not None:
            administration.add_member(
                project=project, email=email, first_day=date(2026, 1, 1), last_day=None, by=BY
            )
        in_organisation = organisation if role in (Role.PUBLISHER, Role.OWNER) else None
        self._secrets[name], _ = administration.issue_token(
            email=email,
            role=role,
            project=project,
            organisation=in_organisation,
            expires_at=self.marketplace.clock() + timedelta(days=365),
            by=BY,
        )


Acts = Callable[[World], None]


@dataclass(frozen=True)
class Beginning:
    """What a marketplace holds once a world is made: made once, and copied for each test."""

    data: Path
    content: Content
    secrets: dict[str, str]


class Beginnings:
    """The beginnings of worlds, by the kind of database and by what happened in them."""

    def __init__(
        self, sqlite: Path, folders: pytest.TempPathFactory, request: pytest.FixtureRequest
    ) -> None:
        self._sqlite = sqlite
        self._folders = folders
        self._request = request
        self._made: dict[tuple[bool, Acts], Beginning] = {}

    def copy(self, acts: Acts, url: str, data: Path) -> dict[str, str]:
        """Put one into an empty database and a folder; returns everybody's tokens."""
        on_sqlite = url.startswith("sqlite")
        if (on_sqlite, acts) not in self._made:
            self._made[on_sqlite, acts] = self._make(acts, on_sqlite=on_sqlite)
        beginning = self._made[on_sqlite, acts]
        shutil.copytree(beginning.data, data)
        if on_sqlite:
            shutil.move(data / "marketplace.db", url.removeprefix("sqlite:///"))
        else:
            fill(url, beginning.content)
        return beginning.secrets

    def _make(self, acts: Acts, *, on_sqlite: bool) -> Beginning:
        folder = self._folders.mktemp("beginning")
        data = folder / "data"
        if on_sqlite:
            data.mkdir()
            shutil.copy(self._sqlite, data / "marketplace.db")
            secrets = _acted(acts, folder, f"sqlite:///{data / 'marketplace.db'}")
            return Beginning(data, Content({}, []), secrets)
        databases: PostgresDatabases = self._request.getfixturevalue("postgres_databases")
        with databases.lent() as url:
            secrets = _acted(acts, folder, url)
            return Beginning(data, content_of(url), secrets)


def _acted(acts: Acts, folder: Path, url: str) -> dict[str, str]:
    settings = read_settings({}, data=folder / "data", database=url)
    with bootstrap.opened(settings, clock=SettableClock(), spares=0) as marketplace:
        world = World(marketplace, folder)
        acts(world)
    return world.secrets


@pytest.fixture(scope="session")
def beginnings(
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Beginnings:
    return Beginnings(sqlite_template, tmp_path_factory, request)


def nothing(_: World) -> None:
    """What happens where nobody does anything."""


def publish(world: World) -> None:
    """Let the ministry publish its homes."""
    world.publish()


def publish_and_share(world: World) -> None:
    """Let the ministry publish its homes and agree to share them with the Sheffield squad."""
    world.publish()
    world.share()


@pytest.fixture
def acts(request: pytest.FixtureRequest) -> Acts:
    """What happened in the small country before a test begins; a module may say otherwise."""
    if "shared" in request.fixturenames:
        return publish_and_share
    return publish if "homes" in request.fixturenames else nothing


@pytest.fixture
def homes(world: World) -> World:
    """The small country, in which the ministry has published its homes."""
    return world


@pytest.fixture
def shared(world: World) -> World:
    """The small country, in which the homes are published and shared with the Sheffield squad."""
    return world


@pytest.fixture
def entered(
    beginnings: Beginnings, acts: Acts, database_url: str, tmp_path: Path
) -> dict[str, str]:
    """Everybody's tokens, with the small country in the database and its folder in place."""
    return beginnings.copy(acts, database_url, tmp_path / "data")


class LastingParser(StatementParser):
    """Outlives the marketplaces that it parses for."""

    def close(self) -> None:
        """Stay for the next."""

    def end(self) -> None:
        """End the process."""
        super().close()


@pytest.fixture(scope="session")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingParser]:
    """One parsing process for all worlds: it is confined to no file at all, and so has none of theirs."""
    limits = Limits(memory=read_settings({}).query_memory)
    parser = LastingParser(limits, tmp_path_factory.mktemp("parser"))
    yield parser
    parser.end()


@pytest.fixture
def marketplace(
    database_url: str,
    entered: dict[str, str],
    tmp_path: Path,
    clock,
    parser: LastingParser,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Marketplace]:
    """The whole marketplace on each kind of database, with a clock to set.

    A test has ended before a spare worker would have started.
    """
    monkeypatch.setattr(workers, "StatementParser", lambda *_: parser)
    settings = read_settings({}, data=tmp_path / "data", database=database_url)
    with bootstrap.opened(settings, clock=clock, spares=0) as opened:
        yield opened


@pytest.fixture
def world(marketplace: Marketplace, entered: dict[str, str], tmp_path: Path) -> World:
    """The small country, on each kind of database."""
    return World(marketplace, tmp_path, entered)


@pytest.fixture
def url(marketplace: Marketplace) -> Iterator[str]:
    """Where the marketplace answers over HTTP."""
    with running(marketplace) as url:
        yield url


@pytest.fixture
def acting(world: World, url: str) -> Iterator[Callable[[str], Client]]:
    """A client of the running service for a person of the small country."""
    with ExitStack() as held:
        yield lambda name: held.enter_context(connect(url, token=world.secret(name)))
