"""The rules that stand without an agreement: roles, listings, standing offers, denials.

They are the house's own law on one screen. Everything else is an agreement.
"""

from datetime import datetime

from sqlalchemy import Connection

from access_policies import principals, revision, rules
from access_policies.decision import Obligation
from access_policies.rules import DATA_ACTIONS, Effect, GrantKind, Rule
from access_policies.vocabulary import Action, Audience, Authority, Role

_KNOWING = (Action.DISCOVER, Action.READ_METADATA, Action.READ_SCHEMA)
_READING = (Action.PREVIEW, Action.QUERY, Action.DOWNLOAD)

ROLE_ACTIONS: dict[Role, tuple[Action, ...]] = {
    Role.PUBLISHER: (*_KNOWING, *_READING, Action.PUBLISH),
    Role.OWNER: (*_KNOWING, *_READING, Action.DECIDE_REQUEST, Action.AUDIT),
    Role.DEPUTY: (*_KNOWING, Action.DECIDE_REQUEST, Action.AUDIT),
    Role.ADMINISTRATOR: (*_KNOWING, Action.ADMINISTER_ORGANISATION),
    Role.OPERATOR: (*_KNOWING, Action.ADMINISTER, Action.AUDIT),
    Role.AUDITOR: (*_KNOWING, Action.AUDIT),
}

ORGANISATION_ROLES = frozenset({Role.PUBLISHER, Role.OWNER, Role.DEPUTY, Role.ADMINISTRATOR})
"""Roles that are held in an organisation and reach its datasets; the others reach all."""

LISTED = _KNOWING
"""What a listing opens: finding the dataset, reading about it and seeing its columns.

Who may find it may ask for it, and asks for columns.
"""

OFFERED = (*_KNOWING, *_READING)


def role_rules(role: Role, organisation: str | None) -> tuple[Rule, ...]:
    """The rules of a role: over `organisation.*`, or over everything for a marketplace role."""
    name = principals.role(role, organisation)
    return tuple(
        Rule(
            id=f"{name}/{action}",
            subject=name,
            dataset=f"{organisation}.*" if organisation else rules.ANY,
            action=action,
            grant=f"{GrantKind.ROLE}:{role}@{organisation}" if organisation else name,
        )
        for action in ROLE_ACTIONS[role]
    )


def ensure_role(connection: Connection, role: Role, organisation: str | None) -> None:
    """Write the rules of a role where they are not there yet, and advance the revision if so."""
    wanted = role_rules(role, organisation)
    if not rules.missing(connection, wanted):
        return
    revision.advance(connection)
    # Asked again, now that nobody else can be writing them.
    for rule in rules.missing(connection, wanted):
        rules.write(connection, rule)


def listing_rules(dataset: str, audience: Audience) -> tuple[Rule, ...]:
    """Let everyone up to an audience know of a dataset; it opens no data."""
    grant = f"{GrantKind.LISTING}:{dataset}"
    return tuple(
        Rule(
            id=f"{grant}/{action}",
            subject=principals.audience(audience),
            dataset=dataset,
            action=action,
            stage=audience,
            grant=grant,
        )
        for action in LISTED
    )


def offer_rules(
    identifier: str,
    dataset: str,
    audience: Audience,
    obligations: tuple[Obligation, ...],
    *,
    begins: datetime,
    ends: datetime | None,
) -> tuple[Rule, ...]:
    """Let everyone up to an audience read what the obligations leave open of a dataset."""
    return tuple(
        Rule(
            id=f"{identifier}/{action}",
            subject=principals.audience(audience),
            dataset=dataset,
            action=action,
            nbf=rules.epoch(begins),
            exp=rules.epoch(ends) if ends else rules.FOREVER,
            stage=audience,
            grant=f"{GrantKind.OFFER}:{identifier}",
            obligations=obligations if action in DATA_ACTIONS else (),
        )
        for action in OFFERED
    )


def denial_rules(
    identifier: str,
    authority: Authority,
    *,
    subjects: tuple[str, ...],
    dataset: str,
    actions: tuple[str, ...],
    begins: datetime,
) -> tuple[Rule, ...]:
    """Close something to each of the subjects at once, whatever else allows it, until it is ended."""
    grant = denial_grant(identifier, authority)
    return tuple(
        Rule(
            id=f"{grant}/{subject}/{action}",
            subject=subject,
            dataset=dataset,
            action=action,
            nbf=rules.epoch(begins),
            effect=Effect.DENY,
            grant=grant,
        )
        for subject in subjects
        for action in actions
    )


def denial_grant(identifier: str, authority: Authority) -> str:
    """How the rules of a denial name it, and who made it."""
    return f"{GrantKind.DENIAL}:{authority}@{identifier}"


def denial_of(rule: str) -> str:
    """The identifier of the denial that a rule, by its own identifier, is of; empty where of none."""
    grant, _, _ = rule.partition("/")
    kind, _, named = grant.partition(":")
    return named.partition("@")[2] if kind == GrantKind.DENIAL else ""


def denied_audience(audience: Audience) -> tuple[str, ...]:
    """The names of everyone of an audience and of all less trusted ones."""
    return tuple(principals.only(denied) for denied in Audience if denied >= audience)
