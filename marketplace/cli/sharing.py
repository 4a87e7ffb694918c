"""`marketplace request`, the decisions on requests, agreements, and `why`."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.scope import WANTED, Wanted, read_form
from marketplace.cli.screen import say, show_facts, show_json, show_table
from marketplace.client.errors import InvalidCall
from marketplace.wire import (
    AgreementDescription,
    AllRows,
    ApprovalForm,
    RowsInPlaces,
    ScopeOfTable,
    ShareRequestDescription,
    ShareRequestForm,
)

Json = Annotated[bool, Parameter(name="--json", negative=())]
Law = Annotated[str | None, Parameter(group="Legal basis")]


def request(
    address: str,
    /,
    *,
    last_day: date | None = None,
    aims: str | None = None,
    data_type: str | None = None,
    power: Law = None,
    power_named: Law = None,
    gateway: Law = None,
    article_6: Law = None,
    article_9: Law = None,
    schedule_1: Law = None,
    controller: Law = None,
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
        Access ends at the midnight in London after this day.
    aims
        What the project aims at with this data.
    data_type
        none, personal, special_category or criminal_offence.
    power
        legislation, common_law, royal_prerogative or other.
    power_named
        Act and section, or the power by name.
    gateway
        The code of a gateway, such as DEA2017_S35.
    controller
        controller, joint_controller or processor.
    form
        A JSON file with the whole form, every other question included; options win over it.
    again
        The identifier of a returned request, to submit it again.
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
        made = client.ask(filled) if again is None else client.ask_again(again, filled)
    if json:
        show_json(made)
        return
    say(f"Request {made.id} for {made.dataset} is {made.state.replace('_', ' ')}.")
    for flag in made.flags:
        say(f"  The owner will see: {flag}")


def requests(
    identifier: str | None = None, /, *, json: Json = False, service: Service = SERVICE
) -> None:
    """List your project's requests or those that you decide on; or show one with its history."""
    with service.client() as client:
        if identifier is not None:
            _show_request(client.request(identifier), json)
            return
        found = client.requests()
    if json:
        show_json(found)
        return
    show_table(
        ("request", "dataset", "project", "state", "asked", "last day"),
        (
            (one.id, one.dataset, one.project, one.state, one.asked_at, one.draft.last_day)
            for one in found
        ),
    )


def approve(
    identifier: str,
    /,
    *,
    reason: str,
    last_day: date | None = None,
    wanted: Wanted = WANTED,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Approve a request, as asked or less. The next query works.

    Parameters
    ----------
    identifier
        The request.
    reason
        Why; it is kept with the agreement.
    last_day
        Access ends at the midnight in London after this day; the day asked for unless said.
    """
    with service.client() as client:
        scope = wanted.tables(client.request(identifier).dataset)
        approval = ApprovalForm(reason=reason, scope=scope or None, last_day=last_day)
        agreement = client.approve(identifier, approval)
    if json:
        show_json(agreement)
    else:
        _show_agreement(agreement)


def return_(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """Give a request back for changes, saying which."""
    with service.client() as client:
        client.return_(identifier, reason)
    say("The request is returned.")


def reject(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """Say no to a request, and why."""
    with service.client() as client:
        client.reject(identifier, reason)
    say("The request is rejected.")


def cancel(identifier: str, /, *, reason: str = "", service: Service = SERVICE) -> None:
    """Withdraw a request of your project that is not decided yet."""
    with service.client() as client:
        client.cancel(identifier, reason)
    say("The request is cancelled.")


def agreements(*, json: Json = False, service: Service = SERVICE) -> None:
    """List your project's agreements, or those over your organisation's datasets."""
    with service.client() as client:
        found = client.agreements()
    if json:
        show_json(found)
        return
    show_table(
        ("agreement", "dataset", "project", "state", "last day", "what"),
        (
            (one.id, one.dataset, one.project, one.state, one.last_day, _scope(one.scope))
            for one in found
        ),
    )


def revoke(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """End an agreement at once, also for results that are on their way."""
    with service.client() as client:
        client.revoke(identifier, reason)
    say("The agreement is revoked.")


def why(
    address: str,
    /,
    *,
    action: str = "dataset:query",
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
        dataset:query, dataset:download, dataset:publish and the rest.
    person
        For owners and auditors: another person, by e-mail address, and
    in_project
        the project that they act in.
    """
    with service.client() as client:
        told = client.why(address, action=action, person=person, project=in_project)
    if json:
        show_json(told)
        return
    show_facts(
        [
            ("allowed", "yes" if told.allowed else "no"),
            ("why", told.sentence),
            ("next", told.ask),
            ("until", told.until),
        ]
    )


def _filled(form: Path | None, said: dict[str, object]) -> ShareRequestForm:
    """The form from a file, if there is one, with what was said on the command line put in."""
    values = read_form(form, dict[str, object]) if form is not None else {}
    try:
        return msgspec.convert(msgspec.to_builtins(values | said), ShareRequestForm)
    except msgspec.ValidationError as error:
        raise InvalidCall(
            f"The request is not complete: {error}.",
            next_step="Give --last-day, --aims and --data-type, or a --form that has them.",
        ) from None


def _show_request(one: ShareRequestDescription, json: bool) -> None:
    if json:
        show_json(one)
        return
    asked = msgspec.to_builtins(one.draft)
    answers = [
        (name.replace("_", " "), _plain(value))
        for name, value in asked.items()
        if value and name not in ("dataset", "tables")
    ]
    show_facts(
        [
            ("request", one.id),
            ("dataset", one.dataset),
            ("project", one.project),
            ("state", one.state.replace("_", " ")),
            ("what", _scope(one.asked)),
            *answers,
            *(("to weigh", flag) for flag in one.flags),
        ]
    )
    show_table(
        ("when", "by", "from", "to", "why"),
        ((move.at, move.by_name, move.before, move.after, move.why) for move in one.moves),
    )


def _show_agreement(one: AgreementDescription) -> None:
    show_facts(
        [
            ("agreement", one.id),
            ("dataset", one.dataset),
            ("project", one.project),
            ("state", one.state),
            ("what", _scope(one.scope)),
            ("ends", one.ends_at),
            *(("note", note) for note in one.notes),
        ]
    )


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _scope(scope: tuple[ScopeOfTable, ...]) -> str:
    return "; ".join(
        f"{table.table}: {len(table.columns)} columns, {_rows(table)}" for table in scope
    )


def _rows(table: ScopeOfTable) -> str:
    match table.rows:
        case AllRows():
            return "all rows"
        case RowsInPlaces(places=places):
            return f"rows of {', '.join(places)}"
        case chosen:
            return f"rows where {chosen.column} is {', '.join(chosen.values)}"
