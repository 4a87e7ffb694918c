"""A small country to walk the journeys in: a ministry, two councils, a company, one squad."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from marketplace.engine.query.query_messages import Encoding, OutputFormat
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
    """The running marketplace, and people in it by what they are."""

    def __init__(self, marketplace: Marketplace, folder: Path) -> None:
        self.marketplace = marketplace
        self._folder = folder
        self._secrets: dict[str, str] = {}
        self._enter()

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


@pytest.fixture
def marketplace(database_url: str, tmp_path: Path, clock) -> Iterator[Marketplace]:
    """The whole marketplace on each kind of database, with a clock to set."""
    settings = read_settings({}, data=tmp_path / "data", database=database_url)
    with bootstrap.opened(settings, clock=clock) as opened:
        yield opened


@pytest.fixture
def world(marketplace: Marketplace, tmp_path: Path) -> World:
    """The small country, on each kind of database."""
    return World(marketplace, tmp_path)


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
