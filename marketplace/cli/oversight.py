"""`marketplace who`, `what` and `changes`: who can read what, and how that came to be."""

from collections.abc import Iterable, Sequence

from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.screen import Json, end_of, moment, say, show_json, show_table
from marketplace.wire import AccessChange, AccessDescription, AccessOverview

_SHOWN = 50
"""So many people are named on a screen; all are in the JSON."""

_ACTIONS = {"dataset:query": "query", "dataset:download": "download"}


def who(address: str, /, *, json: Json = False, service: Service = SERVICE) -> None:
    """List everybody who can read a dataset: by what, in which scope and until when.

    For its owners, and for operators and auditors. That it was asked is recorded.

    Parameters
    ----------
    address
        organisation.dataset.
    json
        Write JSON.
    """
    with service.client() as client:
        told = client.who(address)
    if json:
        show_json(told)
        return
    people = {reader.email for one in told.access for reader in one.people}
    if not people:
        say(f"Nobody can read {address} now (policy revision {told.revision}).")
        return
    say(f"{_counted(len(people))} can read {address} (policy revision {told.revision}).")
    show_table(
        ("by", "acting as", "people", "may", "until", "what"),
        (
            (one.by, one.acting, len(one.people), _may(one.actions), _until(one), _what(one))
            for one in told.access
        ),
        numbers=("people",),
    )
    readers = [(reader, one) for one in told.access for reader in one.people]
    show_table(
        ("person", "e-mail", "organisation", "acting as", "until"),
        (
            (
                reader.name,
                reader.email,
                reader.organisation,
                one.acting,
                reader.until and end_of(reader.until),
            )
            for reader, one in readers[:_SHOWN]
        ),
    )
    if len(readers) > _SHOWN:
        say(f"And {len(readers) - _SHOWN:,} more; --json lists all.")


def what(person: str | None = None, /, *, json: Json = False, service: Service = SERVICE) -> None:
    """List what you can read in each capacity of yours; or what another person can.

    Parameters
    ----------
    person
        For owners, operators and auditors: another person, by e-mail address. What you look after is
        told, and that it was asked is recorded.
    json
        Write JSON.
    """
    with service.client() as client:
        told = client.what(person)
    if json:
        show_json(told)
    elif told.access:
        show_table(
            ("dataset", "acting as", "by", "may", "until", "what"),
            (
                (one.dataset, one.acting, one.by, _may(one.actions), _ends(one), _what(one))
                for one in told.access
            ),
        )
    else:
        say(_nothing(person, told))


def changes(
    since: str,
    /,
    *,
    until: str | None = None,
    dataset: str | None = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """List who gained and who lost what of the data that you look after.

    Parameters
    ----------
    since
        A day (2026-06-01, from its beginning), a moment, or a revision of the policy.
    until
        The same; now, unless said.
    dataset
        Only this one (organisation.dataset).
    json
        Write JSON.
    """
    with service.client() as client:
        told = client.changes(since, until=until, dataset=dataset)
    if json:
        show_json(told)
        return
    say(
        f"From {moment(told.since)} (policy revision {told.since_revision}) "
        f"to {moment(told.until)} (policy revision {told.until_revision}):"
    )
    if not told.changes:
        say("Nobody gained or lost anything.")
        return
    show_table(
        ("dataset", "", "acting as", "may", "why", "people"),
        (
            (one.dataset, one.turn, one.acting, _may(one.actions), one.because, _people(one))
            for one in told.changes
        ),
    )


def _may(actions: Iterable[str]) -> str:
    return ", ".join(_ACTIONS.get(action, action) for action in actions)


def _until(one: AccessDescription) -> str:
    return end_of(one.until) if one.until is not None else ""


def _ends(one: AccessDescription) -> str:
    """The end for the one person whom it is about."""
    (reader,) = one.people
    return end_of(reader.until) if reader.until is not None else ""


def _what(one: AccessDescription) -> str:
    suspended = ("Suspended:", *one.suspended_by) if one.suspended_by else ()
    return " ".join((*suspended, *one.what))


def _people(one: AccessChange) -> str:
    names: Sequence[str] = [person.name for person in one.people]
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _counted(people: int) -> str:
    return "One person" if people == 1 else f"{people:,} people"


def _nothing(person: str | None, told: AccessOverview) -> str:
    if person is None:
        return f"You can read nothing now (policy revision {told.revision})."
    return f"Nobody is known as {person}, or they can read nothing that you look after."
