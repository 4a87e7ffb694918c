"""Who and what there is in a marketplace in memory, entered in its registers and among the facts."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from access_policies import revision, rules, standing
from access_policies.vocabulary import Audience, Role
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.dataset import AccessRights, Dataset
from marketplace.clock import LONDON
from marketplace.errors import RecordExists, RequestMalformed
from marketplace.identity import appointments, organisations, people, projects, secondments, tokens
from marketplace.identity.organisations import Organisation
from tests.oracle import facts
from tests.oracle.country import DATASETS, HOMES, ORGANISATIONS, PROJECTS, START
from tests.oracle.facts import Facts, Token

Done = ParamSpec("Done")
World = TypeVar("World", bound="Registers")


def told(
    act: Callable[Concatenate[World, Done], None],
) -> Callable[Concatenate[World, Done], None]:
    """Keep what was done with its words, for whoever reads about a difference."""

    def do(world: World, /, *words: Done.args, **more: Done.kwargs) -> None:
        world.told.append(f"{world.now:%d %b %H:%M:%S} {act.__name__} {words} {more or ''}")
        act(world, *words, **more)

    return do


class Registers:
    """Organisations, people, projects, datasets, roles and tokens; each act is done to both."""

    def __init__(self, connection: Connection, listed: dict[str, Audience]) -> None:
        self.connection = connection
        self.now = START
        self.told: list[str] = []
        self.facts = Facts(audiences=dict(ORGANISATIONS), projects=dict(PROJECTS))
        self.identifiers: dict[str, str] = {}
        revision.advance(connection)
        for name, audience in ORGANISATIONS.items():
            made = Organisation(name=name, title=name, audience=audience)
            organisations.register(connection, made)
        for name, home in HOMES.items():
            email = f"{name}@example.org"
            person = people.register(connection, name=name, email=email, organisation=home)
            self.identifiers[name] = person.id
            self.facts.homes[person.id] = home
        for project in PROJECTS.values():
            projects.register(
                connection,
                projects.Project(
                    name=project.name,
                    title=project.name,
                    purpose=f"For the {project.name}",
                    organisation=project.organisation,
                    audience=project.audience,
                ),
            )
        for address in DATASETS:
            self.publish(address, listed.get(address))

    @property
    def today(self) -> date:
        return self.now.astimezone(LONDON).date()

    @told
    def join(self, name: str, project: str, first: date, last: date | None) -> None:
        person = self.identifiers[name]
        made = projects.add_member(
            self.connection, project=project, person=person, first_day=first, last_day=last
        )
        self.facts.members.append(
            facts.Member(
                id=made.id,
                person=person,
                project=project,
                first=first,
                last=last,
                entered_last=last,
            )
        )
        self._give_token(person, project=project)

    @told
    def leave(self, name: str, project: str, last: date) -> None:
        person = self.identifiers[name]
        held = [one for one in self.facts.members if (one.person, one.project) == (person, project)]
        if held:
            projects.end_membership(self.connection, project=project, person=person, last_day=last)
        for one in held:
            _cut(one, last)

    @told
    def second(
        self,
        name: str,
        first: date,
        last: date,
        *,
        project: str | None = None,
        organisation: str | None = None,
    ) -> None:
        person = self.identifiers[name]
        made = secondments.register(
            self.connection,
            person=person,
            first_day=first,
            last_day=last,
            host_project=project,
            host_organisation=organisation,
        )
        self.facts.seconded.append(
            facts.Seconded(
                id=made.id,
                person=person,
                first=first,
                last=last,
                entered_last=last,
                project=project,
                organisation=organisation,
            )
        )

    @told
    def send_back(self, which: int, last: date) -> None:
        one = one_of(self.facts.seconded, which)
        if one is not None:
            secondments.end(self.connection, one.id, last_day=last)
            _cut(one, last)

    @told
    def appoint(
        self,
        name: str,
        role: Role,
        organisation: str | None,
        first: date,
        last: date | None,
        in_place_of: str | None = None,
    ) -> None:
        person = self.identifiers[name]
        owner = self.identifiers[in_place_of] if in_place_of is not None else None
        try:
            made = appointments.appoint(
                self.connection,
                person=person,
                role=role,
                organisation=organisation,
                in_place_of=owner,
                first_day=first,
                last_day=last,
            )
        except (RecordExists, RequestMalformed):
            # On these days they are named already, or the owner is none.
            return
        self.facts.named.append(
            facts.Named(
                id=made.id,
                person=person,
                role=role,
                organisation=organisation,
                in_place_of=owner,
                first=first,
                last=last,
                entered_last=last,
            )
        )
        if last is None or last >= self.today:
            self._give_token(person, role=role, organisation=organisation)

    @told
    def dismiss(self, which: int, last: date) -> None:
        one = one_of(self.facts.named, which)
        if one is not None:
            appointments.end(self.connection, one.id, last_day=last)
            _cut(one, last)

    @told
    def accredit(self, project: str, last: date | None) -> None:
        projects.accredit(self.connection, project, until=last)
        self.facts.accredited.pop(project, None)
        if last is not None:
            self.facts.accredited[project] = last

    @told
    def revoke_token(self, which: int) -> None:
        one = one_of(self.facts.tokens, which)
        if one is not None:
            tokens.revoke_token(self.connection, one.id, now=self.now)
            one.revoked = True

    def publish(self, address: str, listed: Audience | None) -> None:
        """Enter a dataset, and list it up to an audience."""
        datasets.register(
            self.connection,
            Dataset(
                address=DatasetAddress.parse(address),
                title=address,
                description="",
                licence="",
                access_rights=AccessRights.INTERNAL,
                official_sensitive=False,
                created_at=START,
            ),
        )
        if listed is not None:
            for rule in standing.listing_rules(address, listed):
                rules.write(self.connection, rule)
            self.facts.listed[address] = listed

    def _give_token(
        self,
        person: str,
        *,
        project: str | None = None,
        role: Role | None = None,
        organisation: str | None = None,
    ) -> None:
        """A token for what they act in, each one with another end; nobody gets two that are alive."""
        what = (person, project, role, organisation)
        if any(
            (one.person, one.project, one.role, one.organisation) == what and not one.revoked
            for one in self.facts.tokens
        ):
            return
        expires = self.now + timedelta(days=5 + 4 * (len(self.facts.tokens) % 4), seconds=7)
        secret, record = tokens.issue_token(
            self.connection,
            person=person,
            project=project,
            role=role,
            organisation=organisation,
            expires_at=expires,
            now=self.now,
        )
        self.facts.tokens.append(
            Token(
                id=record.id,
                secret=secret,
                person=person,
                expires=expires,
                project=project,
                role=role,
                organisation=organisation,
            )
        )


def _cut(span: facts.Span, last: date) -> None:
    if span.last is None or span.last > last:
        span.last = last


def one_of(found: list[Any], which: int) -> Any:
    return found[which % len(found)] if found else None
