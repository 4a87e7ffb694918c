"""Who reads what by which rule: found for many people and datasets at once.

People who act alike, with the same names that any rule is written for, are decided once.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from access_policies import rules
from access_policies.decision import Decision, Obligation
from access_policies.rulebook import RuleBook
from access_policies.rules import DATA_ACTIONS, Rule
from access_policies.vocabulary import Action
from marketplace.enforcement import Ceilings
from marketplace.identity.census import Acting, Post
from marketplace.identity.people import Person

ACTIONS = tuple(sorted(DATA_ACTIONS))
"""What counts as reading."""


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A person, and when their access ends as things stand (none: no end known)."""

    person: Person
    until: datetime | None


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which people read a dataset: what they act in, and the rule that decides.

    `until` is the rule's own end (none: it has none); the capacity of a reader may end sooner.
    `suspended_by` says what the newest release no longer has of what was agreed.
    """

    dataset: str
    post: Post
    actions: tuple[Action, ...]
    rule: Rule
    obligations: tuple[Obligation, ...]
    until: datetime | None
    readers: tuple[Reader, ...]
    suspended_by: tuple[str, ...] = ()


class View(NamedTuple):
    """The policy at one point of the history: rules, ceilings and the time."""

    book: RuleBook
    ceilings: Ceilings
    now: datetime

    def told(self, names: frozenset[str]) -> frozenset[str]:
        """Those of a caller's names that any answer rests on here."""
        return self.book.relevant(names) | (names & self.ceilings.names)

    def allowed(self, acting: Acting, dataset: str) -> dict[Action, Decision]:
        """What of reading the dataset is allowed in that capacity, with the decisions."""
        asked = self.ceilings.asked(acting.subject, acting.purpose, dataset, now=self.now)
        decided = {
            action: self.book.decide(acting.subject, action, asked.resource, asked.environment)
            for action in ACTIONS
        }
        return {action: decision for action, decision in decided.items() if decision.allowed}


def find(
    view: View, acting: Iterable[Acting], datasets: Callable[[Acting], Collection[str]]
) -> tuple[Access, ...]:
    """Every access of these people to the datasets that come into question for each kind of them."""
    ways: dict[object, _Way] = {}
    readers: defaultdict[object, list[Acting]] = defaultdict(list)
    for people in alike(view, acting):
        for way in _ways(view, people[0], datasets(people[0])):
            # An agreement that names people has a rule for each: together they are one way.
            same = ways.setdefault(way.key, way).key
            readers[same] += people
    ordered = sorted(ways, key=lambda key: ways[key].order)
    return tuple(_access(ways[key], readers[key]) for key in ordered)


def alike(view: View, acting: Iterable[Acting]) -> Collection[list[Acting]]:
    """The people by what answers rest on."""
    groups: defaultdict[object, list[Acting]] = defaultdict(list)
    for one in acting:
        told = view.told(one.subject.principals)
        groups[one.post, one.subject.audience, one.purpose, told].append(one)
    return groups.values()


def end_of(rule: Rule) -> datetime | None:
    """The moment at which a rule ends; None where it has no end."""
    return None if rule.exp == rules.FOREVER else datetime.fromtimestamp(rule.exp, UTC)


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """An access without its readers; of the rules of its grant, the one for the first action."""

    dataset: str
    post: Post
    actions: tuple[Action, ...]
    rule: Rule
    obligations: tuple[Obligation, ...]

    @property
    def key(self) -> object:
        """Equal for what people would call the same access."""
        rule = self.rule
        return self.dataset, self.post, self.actions, rule.grant, rule.exp, self.obligations

    @property
    def order(self) -> tuple[object, ...]:
        """By dataset; then the preferred grants first."""
        return self.dataset, self.rule.preference[:-1], self.rule.grant, str(self.post)


def _ways(view: View, acting: Acting, datasets: Iterable[str]) -> Iterator[_Way]:
    for dataset in datasets:
        by_grant: defaultdict[tuple[str, tuple[Obligation, ...]], list[Action]] = defaultdict(list)
        allowed = view.allowed(acting, dataset)
        for action, decision in allowed.items():
            by_grant[decision.grant, decision.obligations].append(action)
        for (_, obligations), actions in by_grant.items():
            rule = view.book.rule(allowed[actions[0]].rule)
            if rule is not None:
                yield _Way(
                    dataset=dataset,
                    post=acting.post,
                    actions=tuple(actions),
                    rule=rule,
                    obligations=obligations,
                )


def _access(way: _Way, people: Iterable[Acting]) -> Access:
    end = end_of(way.rule)
    return Access(
        dataset=way.dataset,
        post=way.post,
        actions=way.actions,
        rule=way.rule,
        obligations=way.obligations,
        until=end,
        readers=tuple(
            Reader(person=one.person, until=min(filter(None, (end, one.until)), default=None))
            for one in people
        ),
    )
