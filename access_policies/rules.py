"""Rules: written, ended and read in slices.

A slice holds the rules of one dataset for the names of one caller, usually one to three of many.
The decision point evaluates Casbin over a slice and never over all rules.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from access_policies import history, principals, slice_query
from access_policies.decision import Obligation, RestrictTo
from access_policies.errors import InvalidRule, RuleConflict
from access_policies.history import ABSENT, Kind
from access_policies.records import rules as table
from access_policies.slice_query import Beside, Found, Wanted
from access_policies.vocabulary import Action, Audience

ANY = "*"
FOREVER = 253_402_300_799
"""The last second of the year 9999, in epoch seconds: a rule without an end."""

DATA_ACTIONS = frozenset({Action.PREVIEW, Action.QUERY, Action.DOWNLOAD})
"""The actions that rows leave by; only their rules carry obligations."""


class Effect(StrEnum):
    """What a rule does where it matches. A denial wins over every permission."""

    ALLOW = "allow"
    DENY = "deny"


class GrantKind(StrEnum):
    """What a rule came from, the preferred first where several permissions match."""

    AGREEMENT = "agreement"
    ROLE = "role"
    OFFER = "offer"
    LISTING = "listing"
    DENIAL = "denial"


_PREFERENCE = tuple(GrantKind)
_KNOWING = frozenset({Action.DISCOVER, Action.READ_METADATA, Action.READ_SCHEMA})
_MAY_ALLOW: dict[GrantKind, frozenset[Action]] = {
    GrantKind.AGREEMENT: _KNOWING | DATA_ACTIONS,
    GrantKind.ROLE: frozenset(Action),
    GrantKind.OFFER: _KNOWING | DATA_ACTIONS,
    GrantKind.LISTING: _KNOWING,
    GrantKind.DENIAL: frozenset(),
}
_KINDS = {kind.value: kind for kind in GrantKind}
_ACTIONS = frozenset(action.value for action in Action) | {ANY}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule for one name (see `principals`).

    `dataset` is `organisation.dataset`, `organisation.*` or `*`. `nbf` and `exp` are JWT's: epoch
    seconds, the rule holds from `nbf` and no longer at `exp`. `stage` is the least trusted audience
    that it is meant for. `grant` is `kind:identifier`, kind being a GrantKind. `obligations` bind
    whoever enforces an answer that rests on this rule.
    """

    id: str
    subject: str
    dataset: str
    action: str
    purpose: str = ANY
    nbf: int = 0
    exp: int = FOREVER
    stage: Audience = Audience.PUBLIC
    effect: Effect = Effect.ALLOW
    grant: str
    obligations: tuple[Obligation, ...] = ()

    @property
    def kind(self) -> GrantKind:
        """What the rule came from. Raises InvalidRule where the grant has no known kind."""
        kind, _, identifier = self.grant.partition(":")
        if kind not in _KINDS or not identifier:
            raise InvalidRule("A rule's grant is an agreement, a role, an offer or a denial.")
        return _KINDS[kind]

    @property
    def preference(self) -> tuple[int, int, int, int, str]:
        """Sorts the rule to be preferred first: by kind, nearness, audience, end, identifier."""
        breadth = 2 if self.dataset == ANY else int(self.dataset.endswith(".*"))
        return _PREFERENCE.index(self.kind), breadth, self.stage, -self.exp, self.id


def epoch(moment: datetime) -> int:
    """Epoch seconds of an aware moment, rounded down."""
    return int(moment.timestamp() // 1)


def organisation_wide(dataset: str) -> str:
    """The form that covers every dataset of the organisation: `organisation.*`."""
    return dataset if dataset == ANY else f"{dataset.partition('.')[0]}.*"


def write(connection: Connection, rule: Rule) -> None:
    """Add a rule. The caller has advanced the revision in the same transaction.

    Raises InvalidRule, or RuleConflict where the identifier is taken.
    """
    check(rule)
    if rule.nbf >= rule.exp:
        raise InvalidRule(
            "The rule would end before it begins.", next_step="Give a last day that is to come."
        )
    if not missing(connection, (rule,)):
        raise RuleConflict(f"There is already a rule {rule.id}.")
    if rule.kind is GrantKind.AGREEMENT and _overlaps(connection, rule):
        raise RuleConflict(
            "Another agreement already covers this at the same time.",
            next_step="End that agreement first: one decides for a project and a dataset.",
        )
    connection.execute(insert(table), row_of(rule))
    history.note(connection, Kind.RULE, {rule.id: ABSENT})


def _overlaps(connection: Connection, rule: Rule) -> bool:
    """Whether another agreement allows the same to the same name in a part of the same time."""
    others = select(table.c.id).where(
        table.c.dataset == rule.dataset,
        table.c.subject == rule.subject,
        table.c.action == rule.action,
        table.c.grant != rule.grant,
        table.c.grant.startswith(f"{GrantKind.AGREEMENT}:"),
        table.c.nbf < table.c.exp,
        table.c.nbf < rule.exp,
        table.c.exp > rule.nbf,
    )
    return connection.execute(others.limit(1)).first() is not None


def missing(connection: Connection, wanted: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Those of the rules whose identifiers are not there yet."""
    identifiers = [rule.id for rule in wanted]
    taken = set(connection.execute(select(table.c.id).where(table.c.id.in_(identifiers))).scalars())
    return tuple(rule for rule in wanted if rule.id not in taken)


def end(connection: Connection, grant: str, *, now: datetime) -> int:
    """End every rule of a grant at once and say how many ended; they stay as history.

    The caller has advanced the revision in the same transaction.
    """
    moment = epoch(now)
    theirs = (table.c.grant == grant, table.c.exp > moment)
    held = connection.execute(select(table.c.id, table.c.nbf, table.c.exp).where(*theirs)).all()
    history.note(connection, Kind.RULE, {row.id: (row.nbf, row.exp) for row in held})
    # It begins where it ends, and so holds at no time: a clock that was set back, or another
    # machine's that is behind, must not bring back what a person has ended.
    connection.execute(update(table).where(*theirs).values(nbf=moment, exp=moment))
    return len(held)


def slice_for(
    connection: Connection, dataset: str, names: Collection[str], action: Action | None
) -> tuple[Rule, ...]:
    """The rules that bear on a dataset for a caller's names, the preferred one last.

    With an action, rules for that action or any; without, all. Ended rules are among them.
    """
    found, *_ = rows_for(connection, dataset, names, action)
    return in_slice(found)


def rows_for(
    connection: Connection,
    dataset: str,
    names: Collection[str],
    action: Action | None,
    besides: Sequence[tuple[Beside, Wanted]] = (),
) -> tuple[list[Found], ...]:
    """The rows that `in_slice` makes a slice of, and what is read along by the same statement."""
    scopes = dict.fromkeys((dataset, organisation_wide(dataset), ANY))
    return slice_query.read(connection, _wanted(names, action, tuple(scopes)), besides)


def in_slice(found: Iterable[Found]) -> tuple[Rule, ...]:
    """The rules of these rows, the preferred one last. Raises InvalidRule, msgspec.MsgspecError."""
    return in_order(from_row(_named(row)) for row in found)


def slices_for(
    connection: Connection, names: Collection[str], action: Action
) -> Mapping[str, tuple[Rule, ...] | None]:
    """All rules for a caller's names and an action, by the dataset text that they are written on.

    One that is damaged takes all that stand on the same text along: these are None.
    """
    by_dataset: dict[str, list[Rule]] = {}
    damaged: set[str] = set()
    found, *_ = slice_query.read(connection, _wanted(names, action))
    for row in map(_named, found):
        try:
            by_dataset.setdefault(row["dataset"], []).append(from_row(row))
        except (InvalidRule, msgspec.MsgspecError):
            damaged.add(row["dataset"])
    whole = {dataset: in_order(found) for dataset, found in by_dataset.items()}
    return {**whole, **dict.fromkeys(damaged)}


def in_order(found: Iterable[Rule]) -> tuple[Rule, ...]:
    """Sort so that the preferred rule comes last: Casbin names the last permission that matched."""
    return tuple(sorted(found, key=lambda rule: rule.preference, reverse=True))


def _wanted(names: Collection[str], action: Action | None, scopes: tuple[str, ...] = ()) -> Wanted:
    """The rules for any of the names and `EVERYONE`; on any of the scopes, where there are some."""
    wanted = {
        "dataset": scopes,
        "subject": (*{*names, principals.EVERYONE},),
        "action": (action.value, ANY) if action else (),
    }
    return {name: found for name, found in wanted.items() if found}


def check(rule: Rule) -> None:
    """Raise InvalidRule for what must not be written, nor allow anything where it is found stored."""
    kind = rule.kind
    if not rule.id or not rule.subject or not rule.dataset or not rule.purpose:
        raise InvalidRule("A rule names who it is for, a dataset and a purpose.")
    if rule.action not in _ACTIONS:
        raise InvalidRule(f"{rule.action!r} is no action.")
    if rule.effect is Effect.ALLOW:
        _check_permission(rule, kind)


def _check_permission(rule: Rule, kind: GrantKind) -> None:
    if rule.action == ANY or principals.is_for_denials(rule.subject):
        raise InvalidRule("A permission names its action, and whom it is for.")
    if rule.action not in _MAY_ALLOW[kind]:
        raise InvalidRule(f"A rule that comes from {kind.value} cannot allow {rule.action}.")
    scoped = any(isinstance(obligation, RestrictTo) for obligation in rule.obligations)
    if rule.action in DATA_ACTIONS and kind is not GrantKind.ROLE and not scoped:
        raise InvalidRule("An agreement or offer says which tables, columns and rows it opens.")


def row_of(rule: Rule) -> dict[str, object]:
    """The rule as it lies in the table, by column."""
    row = {name: getattr(rule, name) for name in rule.__struct_fields__}
    row["stage"] = int(rule.stage)
    row["effect"] = rule.effect.value
    row["action"] = str(rule.action)
    row["obligations"] = msgspec.json.encode(rule.obligations).decode()
    return row


def _named(row: Found) -> dict[str, Any]:
    return dict(zip(slice_query.COLUMNS, row, strict=True))


def from_row(row: Mapping[str, Any]) -> Rule:
    """The rule that a row of the table holds. Raises InvalidRule, msgspec.MsgspecError."""
    # Strict on types: a number that came back as text would compare as text.
    values = dict(row)
    values["obligations"] = _obligations(values["obligations"])
    rule = msgspec.convert(values, Rule)
    check(rule)
    return rule


@lru_cache(maxsize=4096)
def _obligations(text: str) -> tuple[Obligation, ...]:
    """As they are written; equal ones are one value, because rules of an agreement share theirs."""
    return msgspec.json.decode(text, type=tuple[Obligation, ...])
