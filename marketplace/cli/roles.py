"""`marketplace admin role`: who holds which role, in an organisation or in the marketplace."""

from datetime import date, timedelta

from cyclopts import App

from access_policies.vocabulary import Role
from marketplace.cli.operators import OPERATOR, Operator
from marketplace.cli.screen import Json, day, say, show_json, show_table
from marketplace.clock import LONDON, system_clock

role = App(name="role", help="Who holds which role, from when until when.", help_format="markdown")


@role.command(name="add")
def add_role(
    email: str,
    held: Role,
    /,
    *,
    organisation: str | None = None,
    in_place_of: str | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
    operator: Operator = OPERATOR,
) -> None:
    """Name a person to a role. The first token for a role that they never held does this too.

    Parameters
    ----------
    email
        The person, by e-mail address.
    held
        The role.
    organisation
        Where they hold it; for all roles but operators and auditors.
    in_place_of
        The owner, by e-mail address, in whose place a deputy decides.
    first_day
        The first day (YYYY-MM-DD); today unless said.
    last_day
        The last day, to its end in London (YYYY-MM-DD); a deputy needs one.
    """
    with operator.administration() as administration:
        made = administration.appoint(
            email=email,
            role=held,
            organisation=organisation,
            in_place_of=in_place_of,
            first_day=first_day or system_clock().astimezone(LONDON).date(),
            last_day=last_day,
            by=operator.name,
        )
    say(f"{email} is {held} from {day(made.first_day)}; the appointment is {made.id}.")


@role.command(name="end")
def end_role(
    identifier: str, /, *, last_day: date | None = None, operator: Operator = OPERATOR
) -> None:
    """End an appointment: at once, or when `last_day` is over.

    Parameters
    ----------
    identifier
        The appointment, as `admin role list` names it.
    last_day
        The last day, to its end in London (YYYY-MM-DD); the day before today unless said.
    """
    ends = last_day or system_clock().astimezone(LONDON).date() - timedelta(days=1)
    with operator.administration() as administration:
        administration.end_appointment(identifier, last_day=ends, by=operator.name)
    say(f"The last day of the appointment is not after {day(ends)}.")


@role.command(name="list")
def list_roles(*, json: Json = False, operator: Operator = OPERATOR) -> None:
    """List every appointment, past and to come too.

    Parameters
    ----------
    json
        Write JSON.
    """
    with operator.administration() as administration:
        emails = {one.id: one.email for one in administration.people()}
        found = administration.appointments()
    if json:
        show_json(found)
        return
    show_table(
        ("appointment", "person", "role", "organisation", "in place of", "from", "to"),
        (
            (
                one.id,
                emails.get(one.person, one.person),
                one.role,
                one.organisation,
                one.in_place_of and emails.get(one.in_place_of, one.in_place_of),
                day(one.first_day),
                one.last_day and day(one.last_day),
            )
            for one in found
        ),
    )
