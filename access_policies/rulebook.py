"""Many rules in memory, to be asked about many callers: who, what, and what a change comes to.

The answers are the decision point's own, over the same slices as it would read. Names that no rule
is written for change nothing, so callers who share the others get one answer (`relevant`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from access_policies import principals, rules
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.errors import InvalidRule
from access_policies.history import ABSENT, TODAY, Kind, Past
from access_policies.records import rules as table
from access_policies.rules import DATA_ACTIONS, Effect, Rule
from access_policies.vocabulary import Action, Environment, Resource, Subject

_AT_ONCE = 5000
"""How many values one statement may name."""

_READING = (*sorted(DATA_ACTIONS), rules.ANY)


class Damaged(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that cannot be read: whatever it bears on is refused."""

    id: str
    subject: str
    dataset: str
    action: str
    grant: str


Found = Rule | Damaged


class RuleBook:
    """The rules on reading as they were at one point of the history.

    For one thread: it keeps what it has decided.
    """

    def __init__(self, decision_point: DecisionPoint, found: Iterable[Found]) -> None:
        self._decision_point = decision_point
        self._by_id = {one.id: one for one in found}
        self._by_name: dict[str, defaultdict[str, list[Found]]] = {}
        self._decided: dict[tuple[object, ...], Decision] = {}
        for one in self._by_id.values():
            on_it = self._by_name.setdefault(one.subject, defaultdict(list))
            on_it[one.dataset].append(one)

    def relevant(self, names: frozenset[str]) -> frozenset[str]:
        """Those of a caller's names that a rule here is written for."""
        return frozenset(names & self._by_name.keys())

    def permitted(self) -> frozenset[str]:
        """The names to which something is permitted, now or at another time."""
        return frozenset(
            one.subject
            for one in self._by_id.values()
            if isinstance(one, Rule) and one.effect is Effect.ALLOW
        )

    def rule(self, identifier: str) -> Rule | None:
        """The rule of that identifier, if it can be read."""
        found = self._by_id.get(identifier)
        return found if isinstance(found, Rule) else None

    def written_on(self, names: Iterable[str]) -> set[str]:
        """The texts of datasets on which something is permitted to one of the names."""
        return {
            dataset
            for name in names
            for dataset, found in self._by_name.get(name, {}).items()
            if any(isinstance(one, Rule) and one.effect is Effect.ALLOW for one in found)
        }

    def denials(self, names: frozenset[str], dataset: str) -> Iterator[Rule]:
        """The denials that bear on reading a dataset under any of the names, also ended ones."""
        for one in self._bearing(names, dataset):
            if isinstance(one, Rule) and one.effect is Effect.DENY:
                yield one

    def decide(
        self, subject: Subject, action: Action, resource: Resource, environment: Environment
    ) -> Decision:
        """What the decision point answers. It never raises."""
        found = self._slice(subject, action, resource.dataset)
        asked = (
            resource,
            action,
            subject.audience,
            environment,
            frozenset(one.id for one in found),
        )
        if asked not in self._decided:
            self._decided[asked] = self._decide(found, subject, action, resource, environment)
        return self._decided[asked]

    def _slice(self, subject: Subject, action: Action, dataset: str) -> tuple[Found, ...]:
        found = self._bearing(subject.principals, dataset)
        return tuple(one for one in found if one.action in (action, rules.ANY))

    def _bearing(self, names: frozenset[str], dataset: str) -> Iterator[Found]:
        scopes = {dataset, rules.organisation_wide(dataset), rules.ANY}
        for name in self.relevant(names | {principals.EVERYONE}):
            on_it = self._by_name[name]
            for scope in scopes & on_it.keys():
                yield from on_it[scope]

    def _decide(
        self,
        found: tuple[Found, ...],
        subject: Subject,
        action: Action,
        resource: Resource,
        environment: Environment,
    ) -> Decision:
        readable = tuple(one for one in found if isinstance(one, Rule))
        if len(readable) < len(found):
            return Decision(allowed=False, reason="A rule that bears on this is damaged.")
        try:
            return self._decision_point.over(
                rules.in_order(readable), subject, action, resource, environment
            )
        except Exception:  # noqa: BLE001 - as the decision point does: whatever it is, no
            return Decision(allowed=False, reason="This could not be decided.")


def on_datasets(
    connection: Connection, datasets: Collection[str], *, past: Past = TODAY
) -> Iterator[Found]:
    """The rules that bear on reading any of the datasets, for whomever they are."""
    wide = {rules.organisation_wide(dataset) for dataset in datasets}
    return _read(connection, table.c.dataset, {*datasets, *wide, rules.ANY}, past)


def for_names(
    connection: Connection, names: Collection[str], *, past: Past = TODAY
) -> Iterator[Found]:
    """The rules on reading that are written for any of the names, or for everyone."""
    return _read(connection, table.c.subject, {*names, principals.EVERYONE}, past)


def crossing(connection: Connection, since: int, until: int, *, past: Past) -> frozenset[str]:
    """The rules on reading that begin or end after one moment up to another, in epoch seconds.

    As they were written at the point of the past: what a person ended later began and ended otherwise.
    """
    begin = and_(table.c.nbf > since, table.c.nbf <= until)
    end = and_(table.c.exp > since, table.c.exp <= until)
    query = select(table.c.id).where(or_(begin, end), table.c.action.in_(_READING))
    altered = {key: past.was(Kind.RULE, key, ABSENT) for key in past.keys(Kind.RULE)}
    then = {
        key
        for key, edges in altered.items()
        if edges is not ABSENT and any(since < edge <= until for edge in edges)
    }
    return frozenset(connection.execute(query).scalars()) - altered.keys() | then


def over_organisation(
    connection: Connection, organisation: str, *, past: Past = TODAY
) -> Iterator[Found]:
    """All rules on the datasets of an organisation, or with `*` all on everything; ended ones too."""
    within = table.c.dataset.startswith(f"{organisation}.", autoescape=True)
    over = table.c.dataset == rules.ANY if organisation == rules.ANY else within
    return _found_by(connection, select(table).where(over), past)


def by_identifier(connection: Connection, identifiers: Collection[str]) -> Iterator[Found]:
    """The rules on reading with these identifiers, those that are there."""
    return _read(connection, table.c.id, set(identifiers), TODAY)


def _read(
    connection: Connection, column: ColumnElement[str], wanted: set[str], past: Past
) -> Iterator[Found]:
    ordered = sorted(wanted)
    for start in range(0, len(ordered), _AT_ONCE):
        some = column.in_(ordered[start : start + _AT_ONCE])
        query = select(table).where(some, table.c.action.in_(_READING))
        yield from _found_by(connection, query, past)


def _found_by(
    connection: Connection, query: Select[*tuple[Any, ...]], past: Past
) -> Iterator[Found]:
    for row in connection.execute(query).mappings():
        then = past.was(Kind.RULE, row["id"], (row["nbf"], row["exp"]))
        if then is not ABSENT:
            nbf, exp = then
            values = {str(name): value for name, value in row.items()}
            yield _found(values | {"nbf": nbf, "exp": exp})


def _found(row: Mapping[str, Any]) -> Found:
    try:
        return rules.from_row(row)
    except (InvalidRule, msgspec.MsgspecError):
        return Damaged(**{name: str(row[name]) for name in Damaged.__struct_fields__})
