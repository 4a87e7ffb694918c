"""The rules that stand without an agreement: roles, listings, standing offers, denials.

They are the house's own law on one screen. Everything else is an agreement.
"""

from datetime import datetime

from sqlalchemy import Connection

from access_policies import principals, revision, rules
from access_policies.decision import Obligation
from access_policies.rules import DATA_ACTIONS, Effect, GrantKind, Rule
from access_policies.vocabulary import Action, Audience, Role

ROLE_ACTIONS: dict[Role, tuple[Action, ...]] = {
    Role.PUBLISHER: (
        Action.DISCOVER,
        Action.READ_METADATA,
        Action.QUERY,
        Action.DOWNLOAD,
        Action.PUBLISH,
    ),
    Role.OWNER: (
        Action.DISCOVER,
        Action.READ_METADATA,
        Action.QUERY,
        Action.DOWNLOAD,
        Action.DECIDE_REQUEST,
        Action.AUDIT,
    ),
    Role.OPERATOR: (Action.DISCOVER, Action.READ_METADATA, Action.ADMINISTER, Action.AUDIT),
    Role.AUDITOR: (Action.DISCOVER, Action.READ_METADATA, Action.AUDIT),
}

ORGANISATION_ROLES = frozenset({Role.PUBLISHER, Role.OWNER})
"""Roles that are held in an organisation and reach its datasets; the others reach all."""

LISTED = (Action.DISCOVER, Action.READ_METADATA)
"""What a listing opens: finding the dataset and reading about it. Who may find it may ask for it."""

OFFERED = (Action.DISCOVER, Action.READ_METADATA, Action.QUERY, Action.DOWNLOAD)


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
    identifier: str, *, subject: str, dataset: str, actions: tuple[str, ...], begins: datetime
) -> tuple[Rule, ...]:
    """Close something at once, whatever else allows it, until the denial is lifted."""
    return tuple(
        Rule(
            id=f"{identifier}/{action}",
            subject=subject,
            dataset=dataset,
            action=action,
            nbf=rules.epoch(begins),
            effect=Effect.DENY,
            grant=f"{GrantKind.DENIAL}:{identifier}",
        )
        for action in actions
    )
