"""What of the policy moved between two points: which rules, ceilings and capacities to look at."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from access_policies import history, principals, rulebook, rules
from access_policies.history import Kind, Past, Point
from access_policies.rulebook import Found
from marketplace.enforcement import WHOLE_MARKETPLACE, Ceilings
from marketplace.identity import census
from marketplace.identity.census import Acting, Post


class Pair(NamedTuple):
    """One capacity of one person at both points; absent where they did not act in it."""

    before: Acting | None
    after: Acting | None

    @property
    def both(self) -> tuple[Acting, ...]:
        """Those that are there, one at least."""
        return tuple(one for one in self if one is not None)

    @property
    def names(self) -> frozenset[str]:
        """Every name at either point."""
        return frozenset().union(*(one.subject.principals for one in self.both))

    @property
    def moved(self) -> bool:
        """Whether the capacity itself is otherwise, whatever the rules."""
        before, after = self
        if before is None or after is None:
            return True
        return (before.subject, before.purpose) != (after.subject, after.purpose)


class Movement(NamedTuple):
    """What is otherwise at the second point.

    `written` are the rules that were written or ended, `passed` those that began or ended by time
    alone. `narrow` has by name the datasets with such rules for it, `broad` the names with such rules
    on more than one dataset. `reopened` are datasets whose ceiling moved; `whole` says that the
    marketplace's did.
    """

    written: frozenset[str]
    passed: frozenset[str]
    narrow: Mapping[str, set[str]]
    broad: frozenset[str]
    reopened: frozenset[str]
    whole: bool

    def ceilings_of(self, dataset: str) -> bool:
        """Whether a ceiling that bears on the dataset moved."""
        return self.whole or dataset in self.reopened

    def all_of(self, pair: Pair) -> bool:
        """Whether every dataset comes into question for that capacity."""
        return self.whole or pair.moved or not self.broad.isdisjoint(_all(pair.names))

    def some_of(self, pair: Pair) -> set[str]:
        """The datasets that come into question where not all do."""
        names = _all(pair.names) & self.narrow.keys()
        return set(self.reopened).union(*(self.narrow[name] for name in names))


def pairs(
    connection: Connection, since: Point, until: Point, before: Past, after: Past
) -> tuple[Pair, ...]:
    """Every capacity of everybody at both points."""
    then = _by_post(census.take(connection, now=since.moment, past=before))
    now = _by_post(census.take(connection, now=until.moment, past=after))
    return tuple(Pair(then.get(key), now.get(key)) for key in {**then, **now})


def between(
    connection: Connection,
    since: Point,
    until: Point,
    ceilings: tuple[Ceilings, Ceilings],
    after: Past,
) -> Movement:
    """What moved from one point to a later one."""
    written = history.changed(connection, since.revision, until.revision, Kind.RULE)
    first, last = sorted((rules.epoch(since.moment), rules.epoch(until.moment)))
    passed = rulebook.crossing(connection, first, last, past=after) - written
    narrow: defaultdict[str, set[str]] = defaultdict(set)
    broad: set[str] = set()
    for rule in rulebook.by_identifier(connection, written | passed):
        if rule.dataset.endswith(rules.ANY):
            broad.add(rule.subject)
        else:
            narrow[rule.subject].add(rule.dataset)
    then, now = ceilings
    reopened = {scope for scope in now.openings if then.over(scope) != now.over(scope)}
    return Movement(
        written=written,
        passed=passed,
        narrow=narrow,
        broad=frozenset(broad),
        reopened=frozenset(reopened - {WHOLE_MARKETPLACE}),
        whole=WHOLE_MARKETPLACE in reopened,
    )


def rules_for(
    connection: Connection,
    moved: Movement,
    everybody: Iterable[Pair],
    datasets: Collection[str],
    past: Past,
) -> Iterator[Found]:
    """All the rules that answers about what moved rest on, as they were."""
    if moved.whole:
        yield from rulebook.on_datasets(connection, datasets, past=past)
        return
    named = moved.reopened.union(*moved.narrow.values()) & frozenset(datasets)
    yield from rulebook.on_datasets(connection, named, past=past)
    names = [pair.names for pair in everybody if moved.all_of(pair)]
    if names:
        yield from rulebook.for_names(connection, frozenset().union(*names), past=past)


def _all(names: frozenset[str]) -> frozenset[str]:
    return names | {principals.EVERYONE}


def _by_post(acting: Iterable[Acting]) -> dict[tuple[str, Post], Acting]:
    return {(one.person.id, one.post): one for one in acting}
