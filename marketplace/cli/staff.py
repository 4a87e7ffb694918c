"""`marketplace staff`: an organisation's own people and their roles, for its administrators and owners."""

from datetime import date

from cyclopts import App

from marketplace.cli.choices import StaffRoleWord
from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.screen import Json, day, say, show_json, show_table
from marketplace.wire import AppointmentDescription, AppointmentForm

staff = App(
    name="staff",
    help="Your organisation's people, and who publishes and decides for it.",
    help_format="markdown",
)


@staff.command(name="add")
def add(email: str, name: str, /, *, service: Service = SERVICE) -> None:
    """Enter a person who is at home in your organisation; administrators do this.

    Parameters
    ----------
    email
        Their e-mail address, which commands name them by.
    name
        Their name, as others read it.
    """
    with service.client() as client:
        person = client.stewardship.register(name, email)
    say(f"{person.name} is entered at {person.organisation}.")


@staff.command(name="appoint")
def appoint(
    email: str,
    role: StaffRoleWord,
    /,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    in_place_of: str | None = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Name somebody of your organisation to a role. The operator gives them their token.

    Administrators name publishers, owners and deputies; owners name their own deputies.

    Parameters
    ----------
    email
        The person, by e-mail address.
    role
        What they do. A deputy decides on requests in the place of one owner.
    first_day
        The first day (YYYY-MM-DD); today unless said.
    last_day
        The last day, to its end in London (YYYY-MM-DD); a deputy needs one.
    in_place_of
        A deputy's owner, by e-mail address; you, if you are one, unless said.
    json
        Write JSON.
    """
    form = AppointmentForm(
        email=email, role=role, first_day=first_day, last_day=last_day, in_place_of=in_place_of
    )
    with service.client() as client:
        made = client.stewardship.appoint(form)
    if json:
        show_json(made)
        return
    say(f"{made.name} is {_role(made)} from {day(made.first_day)}{_until(made)}.")
    say(f"The appointment is {made.id}; the operator issues a token for it.")


@staff.command(name="dismiss")
def dismiss(
    identifier: str, /, *, last_day: date | None = None, service: Service = SERVICE
) -> None:
    """End an appointment: at once, or when `last_day` is over.

    Parameters
    ----------
    identifier
        The appointment, as `marketplace staff list` names it.
    last_day
        The last day, to its end in London (YYYY-MM-DD); the day before today unless said.
    """
    with service.client() as client:
        ended = client.stewardship.dismiss(identifier, last_day)
    say(f"{ended.name} is {_role(ended)} no longer than{_until(ended).removeprefix(' until')}.")


@staff.command(name="list")
def list_staff(*, json: Json = False, service: Service = SERVICE) -> None:
    """List who holds which role in your organisation, past and to come too.

    Parameters
    ----------
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.stewardship.staff()
    if json:
        show_json(found)
        return
    show_table(
        ("appointment", "name", "email", "role", "from", "to"),
        (
            (
                one.id,
                one.name,
                one.email,
                _role(one),
                day(one.first_day),
                one.last_day and day(one.last_day),
            )
            for one in found
        ),
    )


def _role(one: AppointmentDescription) -> str:
    return f"{one.role} of {one.organisation}" + (
        f" in the place of {one.in_place_of}" if one.in_place_of else ""
    )


def _until(one: AppointmentDescription) -> str:
    return f" until the end of {day(one.last_day)}" if one.last_day else ""
