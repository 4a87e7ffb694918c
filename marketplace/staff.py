"""An organisation's own people: entered, named to roles and dismissed by its administrators.

An administrator names publishers, owners and deputies, an owner their own deputies. Nobody names
themselves, and whoever signs in is still given their token by the operator: so an administrator reads
no data, neither as themselves nor as somebody else.
"""

from datetime import date, timedelta

import msgspec

from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action, Role
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import LONDON, Clock
from marketplace.database import Database
from marketplace.errors import AccessDenied, RequestMalformed, UnknownRecord
from marketplace.identity import appointments, people, secondments
from marketplace.identity.appointments import Appointment
from marketplace.identity.people import Person
from marketplace.identity.principal import Principal
from marketplace.sharing.step import Step, Steps

_NAMED_BY_ADMINISTRATORS = frozenset({Role.PUBLISHER, Role.OWNER, Role.DEPUTY})


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """An appointment with the people that it is about."""

    appointment: Appointment
    person: Person
    in_place_of: Person | None


class Staff:
    """Who is there in the caller's organisation, and who holds which role."""

    def __init__(self, *, database: Database, decision_point: DecisionPoint, clock: Clock) -> None:
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)

    def register(self, principal: Principal, *, name: str, email: str) -> Person:
        """Enter a person who is at home in the caller's organisation.

        Raises AccessDenied, RecordExists, RequestMalformed.
        """
        with self._steps.begin(principal) as step:
            organisation = _administered(step)
            person = people.register(
                step.connection, name=name, email=email, organisation=organisation
            )
            facts: dict[str, Fact] = {"organisation": organisation}
            about = {"registered": person.id, "its_name": person.name, "email": person.email}
            step.record(EntryKind.PERSON_REGISTERED, facts, "", **about)
        return person

    def appoint(
        self,
        principal: Principal,
        *,
        email: str,
        role: Role,
        first_day: date | None = None,
        last_day: date | None = None,
        in_place_of: str | None = None,
    ) -> Post:
        """Name somebody of the caller's organisation to a role, from today unless a day is given.

        Raises AccessDenied, UnknownRecord, RecordExists, RequestMalformed.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            organisation = _organisation(step)
            person = _colleague(step, email, organisation)
            owner = _deputised(step, role, in_place_of, organisation)
            _check_may_name(step, role, owner, organisation)
            if person.id == step.principal.person_id:
                raise AccessDenied(
                    "Nobody names themselves.", next_step="Another administrator does this."
                )
            made = appointments.appoint(
                step.connection,
                person=person.id,
                role=role,
                organisation=organisation,
                in_place_of=owner.id if owner is not None else None,
                first_day=first_day or _today(step),
                last_day=last_day,
            )
            about = {"named": person.id} | ({"deputy_of": owner.id} if owner is not None else {})
            step.record(EntryKind.ROLE_NAMED, _facts(made), "", **about)
        return Post(appointment=made, person=person, in_place_of=owner)

    def dismiss(
        self, principal: Principal, appointment_id: str, *, last_day: date | None = None
    ) -> Post:
        """Let an appointment end with an earlier day, or at once; what runs under it ends too.

        Raises AccessDenied, UnknownRecord.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            organisation = _organisation(step)
            held = appointments.get(step.connection, appointment_id)
            if held.organisation != organisation:
                raise appointments.unknown(appointment_id)
            owner = people.get(step.connection, held.in_place_of) if held.in_place_of else None
            _check_may_name(step, held.role, owner, organisation)
            ends = last_day or _today(step) - timedelta(days=1)
            appointments.end(step.connection, held.id, last_day=ends)
            ended = appointments.get(step.connection, held.id)
            step.record(EntryKind.ROLE_ENDED, _facts(ended), "", named=held.person)
            return _post(step, ended)

    def list(self, principal: Principal) -> tuple[Post, ...]:
        """Who holds which role in the caller's organisation, past and to come too, by first day."""
        with self._steps.begin(principal) as step:
            organisation = _organisation(step)
            seeing = (Action.ADMINISTER_ORGANISATION, Action.DECIDE_REQUEST)
            if not any(step.allows(action, f"{organisation}.*") for action in seeing):
                raise _refused(organisation)
            found = appointments.list_all(step.connection, organisation=organisation)
            step.record_reading("staff", len(found))
            return tuple(_post(step, one) for one in found)


def _facts(appointment: Appointment) -> dict[str, Fact]:
    last_day = appointment.last_day
    return {
        "appointment": appointment.id,
        "role": appointment.role.value,
        "organisation": appointment.organisation,
        "first_day": appointment.first_day.isoformat(),
        "last_day": last_day.isoformat() if last_day is not None else None,
    }


def _organisation(step: Step) -> str:
    if step.principal.organisation is None:
        raise AccessDenied(
            "Your token is for no role in an organisation.",
            next_step="Send the token of an administrator or an owner.",
        )
    return step.principal.organisation


def _administered(step: Step) -> str:
    organisation = _organisation(step)
    if not step.allows(Action.ADMINISTER_ORGANISATION, f"{organisation}.*"):
        raise _refused(organisation)
    return organisation


def _refused(organisation: str) -> AccessDenied:
    return AccessDenied(
        f"You do not name who does what for {organisation}.",
        next_step=f"An administrator of {organisation} can do this; the operator names those.",
    )


def _check_may_name(step: Step, role: Role, owner: Person | None, organisation: str) -> None:
    scope = f"{organisation}.*"
    own_deputy = owner is not None and owner.id == step.principal.person_id
    if own_deputy and step.principal.role is Role.OWNER:
        if step.allows(Action.DECIDE_REQUEST, scope):
            return
    elif role in _NAMED_BY_ADMINISTRATORS and step.allows(Action.ADMINISTER_ORGANISATION, scope):
        return
    raise _refused(organisation)


def _deputised(step: Step, role: Role, email: str | None, organisation: str) -> Person | None:
    """In whose place a deputy is named: the owner named, or the owner who is naming."""
    if role is not Role.DEPUTY:
        if email is not None:
            raise RequestMalformed("Only a deputy is named in somebody's place.")
        return None
    if email is not None:
        return _colleague(step, email, organisation)
    if step.principal.role is Role.OWNER:
        return people.get(step.connection, step.principal.person_id)
    raise RequestMalformed(
        "A deputy decides in the place of one owner.", next_step="Say which, by e-mail address."
    )


def _colleague(step: Step, email: str, organisation: str) -> Person:
    """Somebody at home in the organisation, or seconded to it; others are not told to exist."""
    person = people.find_by_email(step.connection, email) if email.isprintable() else None
    if person is not None:
        hosts = secondments.of_person(step.connection, person.id)
        hosted = any(held.host_organisation == organisation for held in hosts)
        if person.organisation == organisation or hosted:
            return person
    raise UnknownRecord(
        f"There is nobody with that e-mail address at {organisation}.",
        next_step="Enter them first: marketplace staff add.",
    )


def _post(step: Step, appointment: Appointment) -> Post:
    owner = appointment.in_place_of
    return Post(
        appointment=appointment,
        person=people.get(step.connection, appointment.person),
        in_place_of=people.get(step.connection, owner) if owner is not None else None,
    )


def _today(step: Step) -> date:
    return step.now.astimezone(LONDON).date()
