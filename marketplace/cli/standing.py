"""`marketplace offer`, `withdraw`, `offers`, `stop`, `resume`, `stops`: what holds without a request."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from cyclopts import Parameter

from marketplace.cli.choices import AudienceWord
from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.identifiers import which_offer, which_stop
from marketplace.cli.scope import WANTED, Wanted
from marketplace.cli.screen import Json, day, say, show_facts, show_json, show_table
from marketplace.wire import OfferDescription, OfferForm, StopDescription, StopForm

_TO_WHOM = Parameter(group="To whom (everybody unless said)")


def offer(
    address: str,
    /,
    *,
    audience: AudienceWord,
    last_day: date | None = None,
    wanted: Wanted = WANTED,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Let everyone up to an audience read a dataset, or a part of it, without an agreement.

    Columns that are marked as personal cannot be offered. The rollout stays a ceiling.

    Parameters
    ----------
    address
        organisation.dataset.
    audience
        The least trusted audience that it is for.
    last_day
        Open until the end of this day in London (YYYY-MM-DD); until it is withdrawn unless said.
    json
        Write JSON.
    """
    form = OfferForm(
        dataset=address, audience=audience, tables=wanted.tables(address), last_day=last_day
    )
    with service.client() as client:
        made = client.stewardship.offer(form)
    if json:
        show_json(made)
        return
    show_facts(_facts(made))


def withdraw(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """End a standing offer at once, also for results that are on their way.

    Parameters
    ----------
    identifier
        The offer: its identifier, how that begins, or its dataset where one is open.
    reason
        Why; it is kept in the log.
    """
    with service.client() as client:
        client.stewardship.withdraw(which_offer(client, identifier), reason)
    say("The offer is withdrawn.")


def offers(*, json: Json = False, service: Service = SERVICE) -> None:
    """List the standing offers that are open to you, and all over what you oversee.

    Parameters
    ----------
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.stewardship.offers()
    if json:
        show_json(found)
        return
    if not found:
        say("None.")
        return
    show_table(
        ("offer", "dataset", "audience", "open", "last day", "what"),
        (
            (
                one.id,
                one.dataset,
                one.audience.replace("_", " "),
                "yes" if one.in_force else "no",
                one.last_day and day(one.last_day),
                " ".join(one.what),
            )
            for one in found
        ),
    )


def stop(
    dataset: str | None = None,
    /,
    *,
    reason: str,
    audience: Annotated[AudienceWord | None, _TO_WHOM] = None,
    organisation: Annotated[str | None, _TO_WHOM] = None,
    # Not the project that the caller acts for, which is an option of every command.
    squad: Annotated[str | None, _TO_WHOM] = None,
    person: Annotated[str | None, _TO_WHOM] = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Stop a dataset, or a party everywhere, or a party at a dataset: at once and at every exit.

    Results that are on their way end within about a second. Whoever is stopped is told the reason by
    `marketplace why`. Operators stop anything, administrators and owners what belongs to their
    organisation; only the same authority ends it again.

    Parameters
    ----------
    dataset
        organisation.dataset, or "organisation.*" for all of one; everything unless said.
    reason
        Why; it is kept in the log and told to whoever is stopped.
    audience
        This audience and every less trusted one.
    organisation
        Everybody who acts for this organisation or is employed there.
    squad
        Everybody in this squad or other project, while they act in it.
    person
        This person, by e-mail address, whatever they act in.
    json
        Write JSON.
    """
    form = StopForm(
        dataset=dataset,
        audience=audience,
        organisation=organisation,
        project=squad,
        person=person,
        reason=reason,
    )
    with service.client() as client:
        made = client.stewardship.stop(form)
    if json:
        show_json(made)
        return
    say(
        f"Stopped: {_what(made)}, for {_party(made)}. End it with: marketplace resume {made.id[:8]}"
    )


def resume(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """End a stop. Only the authority that made it does.

    Parameters
    ----------
    identifier
        The stop: its identifier, how that begins, or its dataset where one is in force.
    reason
        Why; it is kept with the stop.
    """
    with service.client() as client:
        ended = client.stewardship.resume(which_stop(client, identifier), reason)
    say(f"Open again as far as other rules let it: {_what(ended)}, for {_party(ended)}.")


def stops(
    *,
    ended: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """List what is stopped of what you look after.

    Parameters
    ----------
    ended
        Stops that have ended, too.
    json
        Write JSON.
    """
    with service.client() as client:
        found = [one for one in client.stewardship.stops() if ended or one.ended_at is None]
    if json:
        show_json(found)
        return
    if not found:
        say("Nothing is stopped of what you look after.")
        return
    show_table(
        ("stop", "what", "for", "by", "since", "ended", "reason"),
        (
            (
                one.id,
                _what(one),
                _party(one),
                f"{one.made_by} ({one.authority})",
                one.made_at,
                one.ended_at,
                one.reason,
            )
            for one in found
        ),
    )


def _what(one: StopDescription) -> str:
    return "everything" if one.dataset == "*" else one.dataset


def _party(one: StopDescription) -> str:
    if one.audience is not None:
        return f"{one.audience.replace('_', ' ')} and less trusted audiences"
    return one.organisation or one.project or one.person or "everybody"


def _facts(one: OfferDescription) -> Iterator[tuple[str, object]]:
    yield "offer", one.id
    yield "dataset", one.dataset
    yield "audience", one.audience.replace("_", " ")
    yield from (("what", sentence) for sentence in one.what)
    yield "until", f"the end of {day(one.last_day)}" if one.last_day else "it is withdrawn"
