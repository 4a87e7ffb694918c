"""How decisions are put to people, in one voice. No sentence tells more than the caller may know."""

from datetime import UTC, datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from access_policies import rules
from access_policies.rules import Effect, GrantKind, Rule
from access_policies.vocabulary import Action, Audience, Authority

_LONDON = ZoneInfo("Europe/London")

DOING: dict[Action, str] = {
    Action.DISCOVER: "find",
    Action.READ_METADATA: "read about",
    Action.READ_SCHEMA: "see the columns of",
    Action.PREVIEW: "see the first rows of",
    Action.QUERY: "query",
    Action.DOWNLOAD: "download",
    Action.PUBLISH: "publish",
    Action.REQUEST_ACCESS: "ask for",
    Action.DECIDE_REQUEST: "decide on requests for",
    Action.AUDIT: "read the audit log of",
    Action.ADMINISTER_ORGANISATION: "name who holds roles over",
    Action.ADMINISTER: "administer",
}

CLOSERS: dict[str, str] = {
    Authority.OWNER: "An owner",
    Authority.ORGANISATION: "Its organisation",
    Authority.MARKETPLACE: "An operator",
}

AUDIENCES: dict[Audience, str] = {
    Audience.GOVERNMENT: "central government",
    Audience.LOCAL_GOVERNMENT: "local government",
    Audience.RESEARCHER: "researchers",
    Audience.BUSINESS: "businesses",
    Audience.PUBLIC: "the public",
}


def permission(rule: Rule, action: Action, dataset: str) -> str:
    """Say what allows it, and until when."""
    return f"{source(rule)} allows you to {_doing(action, dataset)}{_until(rule)}."


def refusal(rule: Rule | None, action: Action, dataset: str) -> str:
    """Say that a denial closed it, or that nothing allows it."""
    if rule is not None and rule.effect is Effect.DENY:
        return f"{_closer(rule)} has closed this: you may not {_doing(action, dataset)}."
    return (
        "No agreement, standing offer or role that holds now allows you to "
        f"{_doing(action, dataset)}."
    )


def moment(seconds: int) -> str:
    """A boundary as people say it; a midnight in London is the end of the day before."""
    local = datetime.fromtimestamp(seconds, UTC).astimezone(_LONDON)
    if (local.hour, local.minute, local.second) == (0, 0, 0):
        return f"the end of {_day(local - timedelta(days=1))}"
    return f"{local:%H:%M} on {_day(local)}"


def source(rule: Rule) -> str:
    """What a rule came from, to begin a sentence with."""
    kind, _, identifier = rule.grant.partition(":")
    match GrantKind(kind):
        case GrantKind.AGREEMENT:
            return f"Agreement {identifier}"
        case GrantKind.ROLE:
            held, _, organisation = identifier.partition("@")
            return f"Your role as {held}" + (f" of {organisation}" if organisation else "")
        case GrantKind.OFFER:
            return f"A standing offer to everyone up to {AUDIENCES[rule.stage]}"
        case GrantKind.LISTING:
            return f"The listing of {identifier}"
        case GrantKind.DENIAL:
            return "A denial"
        case unknown:
            assert_never(unknown)


def _closer(rule: Rule) -> str:
    """Who made a denial, whose grant is `denial:<authority>@<identifier>`."""
    _, _, named = rule.grant.partition(":")
    return CLOSERS.get(named.partition("@")[0], CLOSERS[Authority.MARKETPLACE])


def grant(rule: Rule) -> str:
    """What a rule came from, as others than its holder are told."""
    kind, _, identifier = rule.grant.partition(":")
    if kind != GrantKind.ROLE:
        return source(rule)
    held, _, organisation = identifier.partition("@")
    return f"The role of {held}" + (f" of {organisation}" if organisation else "")


def _doing(action: Action, dataset: str) -> str:
    return f"{DOING[action]} {'the marketplace' if dataset == rules.ANY else dataset}"


def _until(rule: Rule) -> str:
    return "" if rule.exp == rules.FOREVER else f" until {moment(rule.exp)}"


def _day(local: datetime) -> str:
    return f"{local.day} {local:%B %Y}"
