"""What the operator enters: organisations, people, squads, secondments, roles, tokens, first stage.

Each act is one transaction with its audit entry. `by` says who acts, in words that the operator's
organisation can trace; whoever can open the data folder is the operator there.
"""

from collections.abc import Iterable
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection

from access_policies import revision, stages
from access_policies.vocabulary import Audience, Role
from catalogue.places import Places
from marketplace.audit.entries import Entry, EntryKind, Fact, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.enforcement import WHOLE_MARKETPLACE
from marketplace.errors import RecordExists, UnknownRecord
from marketplace.identity import (
    appointments,
    organisations,
    people,
    projects,
    secondments,
    tokens,
)
from marketplace.identity.appointments import Appointment
from marketplace.identity.organisations import Organisation
from marketplace.identity.people import Person
from marketplace.identity.projects import Membership, Project
from marketplace.identity.secondments import Secondment
from marketplace.identity.tokens import TokenRecord


class Administration:
    """Who exists in the marketplace, and how far it is open."""

    def __init__(self, *, database: Database, places: Places, clock: Clock) -> None:
        self._database = database
        self._places = places
        self._clock = clock

    def register_organisations(self, entered: Iterable[Organisation], *, by: str) -> int:
        """Enter organisations, all or none, and return how many.

        A place is told by any code that it has or had. Raises RecordExists, UnknownPlace.
        """
        count = 0
        with self._database.writing() as connection:
            for organisation in map(self._placed, entered):
                organisations.register(connection, organisation)
                facts: dict[str, Fact] = {
                    "organisation": organisation.name,
                    "title": organisation.title,
                    "audience": organisation.audience.name.lower(),
                    "place": organisation.place,
                }
                self._record(connection, EntryKind.ORGANISATION_REGISTERED, facts, by)
                count += 1
        return count

    def register_person(self, *, name: str, email: str, organisation: str, by: str) -> Person:
        """Enter a person at their home organisation. Raises RecordExists, UnknownRecord."""
        with self._database.writing() as connection:
            person = people.register(connection, name=name, email=email, organisation=organisation)
            facts: dict[str, Fact] = {"organisation": organisation}
            about = {"person": person.id, "name": person.name, "email": person.email}
            self._record(connection, EntryKind.PERSON_REGISTERED, facts, by, about)
        return person

    def register_project(self, project: Project, *, by: str) -> None:
        """Enter a squad or another project. Raises RecordExists, UnknownRecord."""
        with self._database.writing() as connection:
            projects.register(connection, project)
            facts: dict[str, Fact] = {
                "project": project.name,
                "organisation": project.organisation,
                "audience": project.audience.name.lower(),
                "purpose": project.purpose,
            }
            self._record(connection, EntryKind.PROJECT_REGISTERED, facts, by)

    def add_member(
        self, *, project: str, email: str, first_day: date, last_day: date | None, by: str
    ) -> Membership:
        """Let a person act in a project on those days. Raises UnknownRecord."""
        with self._database.writing() as connection:
            person = _person(connection, email)
            membership = projects.add_member(
                connection,
                project=project,
                person=person.id,
                first_day=first_day,
                last_day=last_day,
            )
            facts: dict[str, Fact] = {"project": project} | _days(first_day, last_day)
            self._record(connection, EntryKind.MEMBER_ADDED, facts, by, {"person": person.id})
        return membership

    def accredit(self, project: str, *, until: date | None, by: str) -> None:
        """Let a research project act as researchers to the end of a day, or (without one) no longer.

        Raises UnknownRecord.
        """
        with self._database.writing() as connection:
            projects.accredit(connection, project, until=until)
            last_day = until.isoformat() if until is not None else None
            facts: dict[str, Fact] = {"project": project, "last_day": last_day}
            self._record(connection, EntryKind.PROJECT_ACCREDITED, facts, by)

    def end_membership(self, *, project: str, email: str, last_day: date, by: str) -> None:
        """Let a person act in a project until that day and no longer. Raises UnknownRecord."""
        with self._database.writing() as connection:
            person = _person(connection, email)
            projects.end_membership(
                connection, project=project, person=person.id, last_day=last_day
            )
            facts: dict[str, Fact] = {"project": project, "last_day": last_day.isoformat()}
            self._record(connection, EntryKind.MEMBER_ENDED, facts, by, {"person": person.id})

    def second(
        self,
        *,
        email: str,
        host_organisation: str | None = None,
        host_project: str | None = None,
        first_day: date,
        last_day: date,
        by: str,
    ) -> Secondment:
        """Enter a secondment to one organisation or one project. Raises UnknownRecord."""
        with self._database.writing() as connection:
            person = _person(connection, email)
            secondment = secondments.register(
                connection,
                person=person.id,
                host_organisation=host_organisation,
                host_project=host_project,
                first_day=first_day,
                last_day=last_day,
            )
            facts: dict[str, Fact] = {
                "secondment": secondment.id,
                "home": person.organisation,
                "host_organisation": host_organisation,
                "host_project": host_project,
            } | _days(first_day, last_day)
            about = {"person": person.id}
            self._record(connection, EntryKind.SECONDMENT_REGISTERED, facts, by, about)
        return secondment

    def end_secondment(self, identifier: str, *, last_day: date, by: str) -> None:
        """Let a secondment end on an earlier day. Raises UnknownRecord."""
        with self._database.writing() as connection:
            secondments.end(connection, identifier, last_day=last_day)
            facts: dict[str, Fact] = {"secondment": identifier, "last_day": last_day.isoformat()}
            self._record(connection, EntryKind.SECONDMENT_ENDED, facts, by)

    def appoint(
        self,
        *,
        email: str,
        role: Role,
        organisation: str | None = None,
        in_place_of: str | None = None,
        first_day: date,
        last_day: date | None = None,
        by: str,
    ) -> Appointment:
        """Name a person to a role; `in_place_of` is a deputy's owner, by e-mail address.

        Raises UnknownRecord, RecordExists, RequestMalformed.
        """
        with self._database.writing() as connection:
            person = _person(connection, email)
            owner = _person(connection, in_place_of) if in_place_of is not None else None
            made = appointments.appoint(
                connection,
                person=person.id,
                role=role,
                organisation=organisation,
                in_place_of=owner.id if owner is not None else None,
                first_day=first_day,
                last_day=last_day,
            )
            about = {"person": person.id} | ({"deputy_of": owner.id} if owner is not None else {})
            self._record(connection, EntryKind.ROLE_NAMED, _role_facts(made), by, about)
        return made

    def end_appointment(self, identifier: str, *, last_day: date, by: str) -> None:
        """Let an appointment end on an earlier day. Raises UnknownRecord."""
        with self._database.writing() as connection:
            appointments.end(connection, identifier, last_day=last_day)
            ended = appointments.get(connection, identifier)
            about = {"person": ended.person}
            self._record(connection, EntryKind.ROLE_ENDED, _role_facts(ended), by, about)

    def issue_token(
        self,
        *,
        email: str,
        project: str | None = None,
        role: Role | None = None,
        organisation: str | None = None,
        expires_at: datetime,
        by: str,
    ) -> tuple[str, TokenRecord]:
        """Make a token for a person in one project or one role; the secret is shown this once."""
        with self._database.writing() as connection:
            person = _person(connection, email)
            secret, issued = tokens.issue_token(
                connection,
                person=person.id,
                project=project,
                role=role,
                organisation=organisation,
                expires_at=expires_at,
                now=self._clock(),
            )
            facts: dict[str, Fact] = {
                "token": issued.id,
                "project": project,
                "role": role,
                "organisation": organisation,
                "expires_at": expires_at.isoformat(),
            }
            self._record(connection, EntryKind.TOKEN_ISSUED, facts, by, {"person": person.id})
        return secret, issued

    def revoke_token(self, identifier: str, *, by: str) -> None:
        """Let a token open nothing from now on. Raises UnknownRecord."""
        with self._database.writing() as connection:
            tokens.revoke_token(connection, identifier, now=self._clock())
            self._record(connection, EntryKind.TOKEN_REVOKED, {"token": identifier}, by)

    def open_first_stage(self, opened: Audience, *, by: str) -> None:
        """Say how far the marketplace is open to begin with.

        It grants nothing. Every later move is the rollout's: two people make it. Raises
        RecordExists where there was a move already.
        """
        with self._database.writing() as connection:
            since_revision = revision.advance(connection)
            if stages.history(connection, WHOLE_MARKETPLACE):
                raise RecordExists(
                    "The first stage of the marketplace was set already.",
                    next_step="Two operators move it on: marketplace rollout propose, then confirm.",
                )
            move = stages.Move(
                scope=WHOLE_MARKETPLACE,
                since_revision=since_revision,
                reach=stages.Reach(opened),
            )
            stages.write(connection, move)
            facts: dict[str, Fact] = {"scope": WHOLE_MARKETPLACE, "opened": opened.name.lower()}
            self._record(connection, EntryKind.STAGE_MOVED, facts, by)

    def organisations(self) -> tuple[Organisation, ...]:
        """Every organisation in order of name."""
        with self._database.reading() as connection:
            return organisations.list_all(connection)

    def people(self) -> tuple[Person, ...]:
        """Every person in order of name."""
        with self._database.reading() as connection:
            return people.list_all(connection)

    def appointments(self) -> tuple[Appointment, ...]:
        """Every appointment to a role, by first day, past and to come too."""
        with self._database.reading() as connection:
            return appointments.list_all(connection)

    def projects(self) -> tuple[Project, ...]:
        """Every squad and other project in order of name."""
        with self._database.reading() as connection:
            return projects.list_all(connection)

    def tokens(self) -> tuple[TokenRecord, ...]:
        """What is known of every token, newest first; never a secret."""
        with self._database.reading() as connection:
            return tokens.list_tokens(connection)

    def _placed(self, organisation: Organisation) -> Organisation:
        """The organisation with its place by the code of today. Raises UnknownPlace."""
        if not organisation.place:
            return organisation
        code = self._places.find(organisation.place).code
        return msgspec.structs.replace(organisation, place=code)

    def _record(
        self,
        connection: Connection,
        kind: EntryKind,
        facts: dict[str, Fact],
        by: str,
        about: dict[str, str] | None = None,
    ) -> None:
        entry = Entry(kind=kind, facts=facts, person={"by": by, **(about or {})})
        record(connection, entry, now=self._clock())


def _person(connection: Connection, email: str) -> Person:
    found = people.find_by_email(connection, email)
    if found is None:
        raise UnknownRecord(
            "There is no person with that e-mail address.",
            next_step="Enter them first: marketplace admin person add.",
        )
    return found


def _role_facts(appointment: Appointment) -> dict[str, Fact]:
    return {
        "appointment": appointment.id,
        "role": appointment.role.value,
        "organisation": appointment.organisation,
    } | _days(appointment.first_day, appointment.last_day)


def _days(first_day: date, last_day: date | None) -> dict[str, Fact]:
    return {
        "first_day": first_day.isoformat(),
        "last_day": last_day.isoformat() if last_day else None,
    }
