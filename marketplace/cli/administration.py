"""`marketplace admin`: who exists, how far it is open, what is removed. Works on the data folder."""

from datetime import date, timedelta
from typing import Annotated

from cyclopts import App, Parameter

from access_policies.vocabulary import Audience
from marketplace.cli.choices import AudienceWord
from marketplace.cli.operators import OPERATOR, Operator
from marketplace.cli.roles import role
from marketplace.cli.screen import Json, day, say, show_json, show_table
from marketplace.cli.tokens import token
from marketplace.clock import LONDON, system_clock


def _group(name: str, help_text: str) -> App:
    return App(name=name, help=help_text, help_format="markdown")


admin = _group(
    "admin",
    "Enter organisations, people, squads, secondments, roles, tokens and the first stage; remove unused files.",
)
organisation = _group("organisation", "Departments, councils, companies.")
person = _group("person", "People and their home organisation.")
squad = _group("squad", "Squads and other projects, and their members.")
secondment = _group("secondment", "People who act for a host for some months.")
for _part in (organisation, person, squad, secondment, role, token):
    admin.command(_part)


@organisation.command(name="add")
def add_organisation(
    name: str, title: str, /, *, audience: Audience, place: str = "", operator: Operator = OPERATOR
) -> None:
    """Enter an organisation.

    Parameters
    ----------
    name
        A SQL identifier; the first part of its datasets' addresses.
    title
        Its name, as people read it.
    audience
        What its people are where they act for it.
    place
        Its area code, if it has one.
    """
    from marketplace.identity.organisations import Organisation

    entered = Organisation(name=name, title=title, audience=audience, place=place)
    with operator.administration(founding=True) as administration:
        administration.register_organisations([entered], by=operator.name)
    say(f"{name} is entered.")


@organisation.command(name="list")
def list_organisations(*, json: Json = False, operator: Operator = OPERATOR) -> None:
    """List every organisation.

    Parameters
    ----------
    json
        Write JSON.
    """
    with operator.administration() as administration:
        found = administration.organisations()
    if json:
        show_json(found)
        return
    show_table(
        ("name", "title", "audience", "place"),
        ((one.name, one.title, one.audience.name.lower(), one.place) for one in found),
    )


@person.command(name="add")
def add_person(
    email: str, name: str, /, *, organisation: str, operator: Operator = OPERATOR
) -> None:
    """Enter a person at their home organisation.

    Parameters
    ----------
    email
        Their e-mail address, which commands name them by.
    name
        Their name, as owners read it.
    organisation
        The name of the organisation that employs them.
    """
    with operator.administration() as administration:
        administration.register_person(
            name=name, email=email, organisation=organisation, by=operator.name
        )
    say(f"{name} is entered.")


@person.command(name="list")
def list_people(*, json: Json = False, operator: Operator = OPERATOR) -> None:
    """List every person.

    Parameters
    ----------
    json
        Write JSON.
    """
    with operator.administration() as administration:
        found = administration.people()
    if json:
        show_json(found)
        return
    show_table(
        ("name", "email", "organisation"),
        ((one.name, one.email, one.organisation) for one in found),
    )


@squad.command(name="add")
def add_squad(
    name: str,
    title: str,
    /,
    *,
    purpose: str,
    organisation: str,
    audience: Audience,
    operator: Operator = OPERATOR,
) -> None:
    """Enter a squad or another project. Its purpose does not change: agreements are for it.

    Parameters
    ----------
    name
        A SQL identifier.
    title
        Its name, as people read it.
    purpose
        What it is there for, in a sentence; agreements are for this purpose.
    organisation
        The organisation that hosts it.
    audience
        What its people are where they act in it.
    """
    from marketplace.identity.projects import Project

    entered = Project(
        name=name, title=title, purpose=purpose, organisation=organisation, audience=audience
    )
    with operator.administration() as administration:
        administration.register_project(entered, by=operator.name)
    say(f"{name} is entered.")


@squad.command(name="list")
def list_squads(*, json: Json = False, operator: Operator = OPERATOR) -> None:
    """List every squad and other project.

    Parameters
    ----------
    json
        Write JSON.
    """
    with operator.administration() as administration:
        found = administration.projects()
    if json:
        show_json(found)
        return
    show_table(
        ("name", "title", "organisation", "audience", "purpose"),
        (
            (one.name, one.title, one.organisation, one.audience.name.lower(), one.purpose)
            for one in found
        ),
    )


@squad.command(name="member")
def add_member(
    squad: str,
    email: str,
    /,
    *,
    first_day: date | None = None,
    last_day: date | None = None,
    operator: Operator = OPERATOR,
) -> None:
    """Let a person act in a squad, from today and for as long as it runs unless days are given.

    Parameters
    ----------
    squad
        The squad, by name.
    email
        The person, by e-mail address.
    first_day
        The first day (YYYY-MM-DD).
    last_day
        The last day, to its end in London (YYYY-MM-DD).
    """
    with operator.administration() as administration:
        administration.add_member(
            project=squad,
            email=email,
            first_day=first_day or _today(),
            last_day=last_day,
            by=operator.name,
        )
    say(f"{email} is a member of {squad}.")


@squad.command(name="leave")
def end_membership(
    squad: str, email: str, /, *, last_day: date | None = None, operator: Operator = OPERATOR
) -> None:
    """End a person's membership: at once, or when `last_day` is over.

    Parameters
    ----------
    squad
        The squad, by name.
    email
        The person, by e-mail address.
    last_day
        The last day, to its end in London (YYYY-MM-DD); the day before today unless said.
    """
    ends = last_day or _today() - timedelta(days=1)
    with operator.administration() as administration:
        administration.end_membership(project=squad, email=email, last_day=ends, by=operator.name)
    say(f"The last day of {email} in {squad} is {day(ends)}.")


@squad.command(name="accredit")
def accredit(squad: str, /, *, last_day: date | None = None, operator: Operator = OPERATOR) -> None:
    """Let a research project act as researchers until a day, or no longer where none is given.

    Parameters
    ----------
    squad
        The project, by name.
    last_day
        The last day of its accreditation, to its end in London (YYYY-MM-DD).
    """
    with operator.administration() as administration:
        administration.accredit(squad, until=last_day, by=operator.name)
    say(
        f"{squad} is accredited until the end of {day(last_day)}."
        if last_day is not None
        else f"{squad} is not accredited."
    )


@secondment.command(name="add")
def add_secondment(
    email: str,
    /,
    *,
    last_day: date,
    first_day: date | None = None,
    organisation: str | None = None,
    squad: str | None = None,
    operator: Operator = OPERATOR,
) -> None:
    """Second a person to an organisation or to one squad, from today unless a first day is given.

    Parameters
    ----------
    email
        The person, by e-mail address.
    last_day
        The last day, to its end in London (YYYY-MM-DD).
    first_day
        The first day (YYYY-MM-DD).
    organisation
        The host, for all that they do there; or else
    squad
        the one squad that they work in.
    """
    with operator.administration() as administration:
        entered = administration.second(
            email=email,
            host_organisation=organisation,
            host_project=squad,
            first_day=first_day or _today(),
            last_day=last_day,
            by=operator.name,
        )
    say(f"{email} is seconded until the end of {day(last_day)}; the secondment is {entered.id}.")


@secondment.command(name="end")
def end_secondment(
    identifier: str, /, *, last_day: date | None = None, operator: Operator = OPERATOR
) -> None:
    """End a secondment: at once, or when `last_day` is over.

    Parameters
    ----------
    identifier
        The secondment, as it was told when it was entered.
    last_day
        The last day, to its end in London (YYYY-MM-DD); the day before today unless said.
    """
    ends = last_day or _today() - timedelta(days=1)
    with operator.administration() as administration:
        administration.end_secondment(identifier, last_day=ends, by=operator.name)
    say(f"The last day of the secondment is {day(ends)}.")


@admin.command(name="first-stage")
def first_stage(audience: AudienceWord, /, *, operator: Operator = OPERATOR) -> None:
    """Say how far a new marketplace is open to begin with; two people move it from then on.

    Parameters
    ----------
    audience
        The least trusted audience that it is open to.
    """
    with operator.administration() as administration:
        administration.open_first_stage(Audience[audience.upper()], by=operator.name)
    say(f"The marketplace is open up to {audience}.")


@admin.command(name="tidy")
def tidy(
    *,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    grace_days: int = 7,
    idle_days: int = 30,
    json: Json = False,
    operator: Operator = OPERATOR,
) -> None:
    """Remove files that nobody will read any more; for a timer, once a day, beside the service.

    A run condemns what is of no use now and removes what was condemned at least the grace period
    ago. Files of releases are never touched.

    Parameters
    ----------
    dry_run
        Change nothing, and show what would go.
    grace_days
        How long a condemned file stays; longer than a backup takes.
    idle_days
        An extract that nobody has read for so long is of no use; it is built again when needed.
    json
        Write JSON.
    """
    with operator.housekeeping() as housekeeping:
        tidied = housekeeping.tidy(
            grace=timedelta(days=grace_days),
            idle=timedelta(days=idle_days),
            by=operator.name,
            dry_run=dry_run,
        )
    if json:
        show_json(tidied)
        return
    show_table(
        ("files", "condemned", "bytes", "removed", "bytes"),
        (
            (title, had.files, f"{had.bytes:,}", gone.files, f"{gone.bytes:,}")
            for title, had, gone in (
                ("abandoned publishes", tidied.abandoned_condemned, tidied.abandoned_removed),
                ("unused extracts", tidied.extracts_condemned, tidied.extracts_removed),
            )
        ),
        numbers=("condemned", "bytes", "removed"),
        title="What would go; nothing was changed" if dry_run else "",
    )
    scratch = tidied.scratch_removed
    say(f"Left by killed processes: {scratch.files:,} files, {scratch.bytes:,} bytes.")


def _today() -> date:
    return system_clock().astimezone(LONDON).date()
