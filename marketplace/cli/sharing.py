"""`marketplace request`, the decisions on requests, and `why`."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from marketplace.cli.agreements import seen_by_caller, show_agreement
from marketplace.cli.choices import (
    ActionWord,
    Article6Word,
    Article9Word,
    ControllerWord,
    DataTypeWord,
    PowerWord,
    Schedule1Word,
)
from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.identifiers import which_request
from marketplace.cli.scope import WANTED, Wanted, read_form
from marketplace.cli.screen import Json, day, end_of, say, show_facts, show_json, show_table
from marketplace.client.errors import InvalidCall
from marketplace.wire import (
    ApprovalForm,
    ShareRequestDescription,
    ShareRequestForm,
)

_LAW = Parameter(group="Legal basis")

_ACTIONS = {
    "dataset:preview": "preview",
    "dataset:query": "query",
    "dataset:download": "download",
}


def request(
    address: str,
    /,
    *,
    last_day: date | None = None,
    aims: str | None = None,
    data_type: DataTypeWord | None = None,
    power: Annotated[PowerWord | None, _LAW] = None,
    power_named: Annotated[str | None, _LAW] = None,
    gateway: Annotated[str | None, _LAW] = None,
    article_6: Annotated[Article6Word | None, _LAW] = None,
    article_9: Annotated[Article9Word | None, _LAW] = None,
    schedule_1: Annotated[Schedule1Word | None, _LAW] = None,
    controller: Annotated[ControllerWord | None, _LAW] = None,
    form: Path | None = None,
    again: str | None = None,
    wanted: Wanted = WANTED,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Ask for a dataset for your project, with a purpose and a legal basis.

    Parameters
    ----------
    address
        organisation.dataset.
    last_day
        Access lasts until the end of this day in London (YYYY-MM-DD).
    aims
        What the project aims at with this data.
    data_type
        The most protected kind of personal data in it.
    power
        The kind of legal power that you share under.
    power_named
        Act and section, or the power by name.
    gateway
        The code of a gateway, such as DEA2017_S35.
    article_6
        The letter of your lawful basis in UK GDPR Article 6(1), for personal data.
    article_9
        The letter of your condition in UK GDPR Article 9(2), for special category data.
    schedule_1
        Your condition in Schedule 1 to the Data Protection Act 2018, for Article 9(2)(g).
    controller
        What your organisation will be for the data.
    form
        A JSON file with the whole form, every other question included; options win over it.
    again
        A returned request (its identifier or how that begins), to submit it again.
    json
        Write JSON.
    """
    said = {
        "dataset": address,
        "last_day": last_day,
        "aims": aims,
        "data_type": data_type,
        "power": power,
        "power_named": power_named,
        "gateway": gateway,
        "article_6": article_6,
        "article_9": article_9,
        "schedule_1": schedule_1,
        "controller": controller,
        "tables": wanted.tables(address),
    }
    filled = _filled(form, {name: value for name, value in said.items() if value})
    with service.client() as client:
        if again is None:
            made = client.ask(filled)
        else:
            made = client.ask_again(which_request(client, again), filled)
    if json:
        show_json(made)
        return
    say(f"Request {made.id} for {made.dataset} is {_words(made.state)}.")
    for flag in made.flags:
        say(f"  The owner will see: {flag}")


def requests(
    identifier: str | None = None, /, *, json: Json = False, service: Service = SERVICE
) -> None:
    """List your project's requests or those that you decide on; or show one with its history.

    Parameters
    ----------
    identifier
        The one to show: its identifier, how that begins, or its dataset.
    json
        Write JSON.
    """
    with service.client() as client:
        if identifier is not None:
            _show_request(client.request(which_request(client, identifier)), json)
            return
        found = client.requests()
        if json:
            show_json(found)
            return
        if not found:
            say(f"None. {seen_by_caller(client, 'requests')}")
            return
    show_table(
        ("request", "dataset", "project", "state", "asked", "last day"),
        (
            (
                one.id,
                one.dataset,
                one.project,
                _words(one.state),
                one.asked_at,
                day(one.draft.last_day),
            )
            for one in found
        ),
    )


def approve(
    identifier: str,
    /,
    *,
    reason: str,
    last_day: date | None = None,
    most_rows: int | None = None,
    most_bytes: int | None = None,
    wanted: Wanted = WANTED,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Approve a request, as asked or less. The next query works.

    What is not said is as it was asked. Rows and masks that are said take the place of those asked,
    and are refused where they let out more.

    Parameters
    ----------
    identifier
        The request: its identifier, how that begins, or its dataset where one is undecided.
    reason
        Why; it is kept with the agreement.
    last_day
        Access lasts until the end of this day in London (YYYY-MM-DD); the day asked for unless said.
    most_rows
        The most rows that one result may have.
    most_bytes
        The most bytes that one result may have, as it is sent.
    json
        Write JSON.
    """
    with service.client() as client:
        identifier = which_request(client, identifier)
        asked = client.request(identifier)
        approval = ApprovalForm(
            reason=reason,
            scope=wanted.tables(asked.dataset, asked.asked) or None,
            last_day=last_day,
            most_rows=most_rows,
            most_bytes=most_bytes,
        )
        agreement = client.approve(identifier, approval)
    if json:
        show_json(agreement)
    else:
        show_agreement(agreement)


def return_(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """Give a request back for changes, saying which.

    Parameters
    ----------
    identifier
        The request: its identifier, how that begins, or its dataset where one is undecided.
    reason
        What is to change; the project reads it.
    """
    with service.client() as client:
        client.return_(which_request(client, identifier), reason)
    say("The request is returned.")


def reject(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """Say no to a request, and why.

    Parameters
    ----------
    identifier
        The request: its identifier, how that begins, or its dataset where one is undecided.
    reason
        Why; the project reads it.
    """
    with service.client() as client:
        client.reject(which_request(client, identifier), reason)
    say("The request is rejected.")


def cancel(identifier: str, /, *, reason: str = "", service: Service = SERVICE) -> None:
    """Withdraw a request of your project that is not decided yet.

    Parameters
    ----------
    identifier
        The request: its identifier, how that begins, or its dataset where one is undecided.
    reason
        Why; it is kept with the request.
    """
    with service.client() as client:
        client.cancel(which_request(client, identifier), reason)
    say("The request is cancelled.")


def why(
    address: str,
    /,
    *,
    action: ActionWord = "dataset:query",
    person: str | None = None,
    in_project: str | None = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Say why you may or may not do something to a dataset, and what to ask for.

    Parameters
    ----------
    address
        organisation.dataset.
    action
        What you would do.
    person
        For owners and auditors: another person, by e-mail address.
    in_project
        The project that this person acts in; unless said, whatever comes nearest to allowing it.
    json
        Write JSON.
    """
    with service.client() as client:
        told = client.why(address, action=action, person=person, project=in_project)
    if json:
        show_json(told)
        return
    show_facts(
        [
            ("allowed", "yes" if told.allowed else "no"),
            ("acting as", told.acting),
            ("why", told.sentence),
            ("next", told.ask),
            ("until", told.until and end_of(told.until)),
        ]
    )


_REQUIRED = {"last_day": "--last-day", "aims": "--aims", "data_type": "--data-type"}


def _filled(form: Path | None, said: dict[str, object]) -> ShareRequestForm:
    """The form from a file, if there is one, with what was said on the command line put in."""
    values = (read_form(form, dict[str, object]) if form is not None else {}) | said
    missing = [option for name, option in _REQUIRED.items() if name not in values]
    if missing:
        raise InvalidCall(
            f"The request is not complete without {', '.join(missing)}.",
            next_step="Give what is missing, or a --form that has it.",
        )
    try:
        return msgspec.convert(msgspec.to_builtins(values), ShareRequestForm)
    except msgspec.ValidationError as error:
        raise InvalidCall(
            f"The form cannot be used: {error}.",
            next_step="Compare it with marketplace/sharing/README.md.",
        ) from None


def _show_request(one: ShareRequestDescription, json: bool) -> None:
    if json:
        show_json(one)
        return
    asked = msgspec.to_builtins(one.draft)
    answers = [
        (name.replace("_", " "), _plain(value))
        for name, value in asked.items()
        if value and name not in ("dataset", "tables", "last_day", "needed_by")
    ]
    show_facts(
        [
            ("request", one.id),
            ("dataset", one.dataset),
            ("project", one.project),
            ("state", _words(one.state)),
            *(("what", sentence) for sentence in one.what),
            ("until", f"the end of {day(one.draft.last_day)}"),
            ("needed by", one.draft.needed_by and day(one.draft.needed_by)),
            *answers,
            *(("to weigh", flag) for flag in one.flags),
        ]
    )
    show_table(
        ("when", "by", "from", "to", "why"),
        (
            (move.at, move.by_name, _words(move.before), _words(move.after), move.why)
            for move in one.moves
        ),
    )


def _plain(value: object) -> str:
    """An answer of the form in words; the form's own words have no underscores for a reader."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_ACTIONS.get(str(one), _words(str(one))) for one in value)
    return str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
