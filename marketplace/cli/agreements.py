"""`marketplace agreements`, `extend` and `revoke`."""

from datetime import date

from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.identifiers import which_agreement
from marketplace.cli.screen import Json, day, end_of, say, show_facts, show_json, show_table
from marketplace.client import Client
from marketplace.wire import AgreementDescription, ExtensionDescription


def agreements(*, json: Json = False, service: Service = SERVICE) -> None:
    """List your project's agreements, or those over your organisation's datasets.

    Parameters
    ----------
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.agreements()
        if json:
            show_json(found)
            return
        if not found:
            say(f"None. {seen_by_caller(client, 'agreements')}")
            return
    show_table(
        ("agreement", "dataset", "project", "state", "last day", "what"),
        (
            (one.id, one.dataset, one.project, one.state, day(one.last_day), " ".join(one.what))
            for one in found
        ),
    )
    for one in found:
        if one.ends_within_days is not None:
            say(f"{one.dataset} for {one.project}: {_warning(one)}")


def extend(
    identifier: str,
    /,
    *,
    last_day: date,
    reason: str,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Let an agreement last longer, with the same terms; its owner does this.

    Parameters
    ----------
    identifier
        The agreement: its identifier, how that begins, or its dataset where one is in force.
    last_day
        Access lasts until the end of this day in London (YYYY-MM-DD).
    reason
        Why; the project reads it.
    json
        Write JSON.
    """
    with service.client() as client:
        extended = client.extend(which_agreement(client, identifier), last_day, reason)
    if json:
        show_json(extended)
    else:
        show_agreement(extended)


def revoke(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """End an agreement at once, also for results that are on their way.

    Parameters
    ----------
    identifier
        The agreement: its identifier, how that begins, or its dataset where one is in force.
    reason
        Why; the project reads it.
    """
    with service.client() as client:
        client.revoke(which_agreement(client, identifier), reason)
    say("The agreement is revoked.")


def show_agreement(one: AgreementDescription) -> None:
    """An agreement with its terms, below each other."""
    show_facts(
        [
            ("agreement", one.id),
            ("dataset", one.dataset),
            ("project", one.project),
            ("state", one.state),
            *(("what", sentence) for sentence in one.what),
            ("until", end_of(one.ends_at)),
            ("soon", _warning(one)),
            *(("note", note) for note in one.notes),
            *(
                (f"until {day(made.at.date())}", f"{_former(made)}: {made.why}")
                for made in one.extensions
            ),
        ]
    )


def _former(made: ExtensionDescription) -> str:
    if made.before == made.after:
        return "it let out more"
    return f"it was to end with {day(made.before)}"


def _warning(one: AgreementDescription) -> str:
    """What to do about an agreement that is about to end; nothing where it is not."""
    if one.ends_within_days is None:
        return ""
    within = "a day" if one.ends_within_days == 1 else f"{one.ends_within_days} days"
    return (
        f"It ends within {within}, at {end_of(one.ends_at)}. Its owner extends it with: "
        f"marketplace extend {one.id[:8]} --last-day DAY --reason WHY"
    )


def seen_by_caller(client: Client, what: str) -> str:
    """Whose requests or agreements the caller's token shows, for somebody who sees none."""
    caller = client.me()
    if caller.project is not None:
        return f"Your token is for {caller.project} and shows the {what} of that project."
    if caller.organisation is not None:
        return (
            f"Your token is for the role of {caller.role} in {caller.organisation}; owners see the "
            f"{what} over its datasets."
        )
    return f"Your token is for the role of {caller.role}; auditors see the {what} of everybody."
