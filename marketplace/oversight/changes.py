"""Who gained and who lost what between two points of the history.

Looked at are only the people and datasets that something between the two bears on (`movement`);
each is then answered at both points, and the answers are compared.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from access_policies import history
from access_policies.decision_point import DecisionPoint
from access_policies.history import Point
from access_policies.rulebook import Found, RuleBook
from access_policies.rules import Rule
from access_policies.vocabulary import Action
from marketplace import enforcement
from marketplace.errors import AnswerTooLarge
from marketplace.identity.census import Post
from marketplace.identity.people import Person
from marketplace.oversight import movement
from marketplace.oversight.access import ACTIONS, View
from marketplace.oversight.directory import Directory
from marketplace.oversight.movement import Movement, Pair


class Most(NamedTuple):
    """How much one answer rests on, and how much it tells.

    `rules` are those on reading that are held in memory for each of the two points, `told` the
    changes of all people together. Either is several times what the most popular of 100,000 datasets
    has in a world of a million rules and 50,000 people.
    """

    rules: int = 250_000
    told: int = 250_000


MOST = Most()


class Turn(StrEnum):
    """What became of an access: it came, it went, or it rests on another rule."""

    GAINED = "gained"
    LOST = "lost"
    CHANGED = "changed"


class Cause(StrEnum):
    """What brought it about; several things may have."""

    RULE = "rule"
    "A rule that decided was written or ended."
    DENIAL = "denial"
    "A denial was made, lifted or reached its end."
    JOINED = "joined"
    LEFT = "left"
    AUDIENCE = "audience"
    "The people act for another audience."
    STAGE = "stage"
    "The rollout moved."
    TIME = "time"
    "A rule that decided began or ended by itself."


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What people who act in one thing gained, lost or have otherwise of one dataset.

    `before` and `after` are the rules that decided; none where nothing allowed.
    """

    turn: Turn
    dataset: str
    post: Post
    actions: tuple[Action, ...]
    before: Rule | None
    after: Rule | None
    causes: tuple[Cause, ...]
    people: tuple[Person, ...]


def changes(
    connection: Connection,
    decision_point: DecisionPoint,
    since: Point,
    until: Point,
    datasets: Collection[str],
    *,
    most: Most = MOST,
) -> tuple[Change, ...]:
    """Every change of what somebody can read of these datasets, from one point to a later one.

    Raises AnswerTooLarge where that is more than one answer holds, as where a stage moved over many
    offers.
    """
    pasts = (
        history.past(connection, since.revision),
        history.past(connection, until.revision),
    )
    ceilings = tuple(
        enforcement.ceilings(connection, datasets, now=point.moment, past=past)
        for past, point in zip(pasts, (since, until), strict=True)
    )
    moved = movement.between(connection, since, until, (ceilings[0], ceilings[1]), pasts[1])
    everybody = movement.pairs(connection, since, until, *pasts)
    views = [
        View(
            RuleBook(
                decision_point,
                _up_to(
                    most.rules, movement.rules_for(connection, moved, everybody, datasets, past)
                ),
            ),
            ceiling,
            point.moment,
        )
        for past, ceiling, point in zip(pasts, ceilings, (since, until), strict=True)
    ]
    comparison = _Comparison(views[0], views[1], moved, Directory(datasets))
    found: defaultdict[object, list[Person]] = defaultdict(list)
    told: dict[object, Change] = {}
    left = most.told
    for people in comparison.alike(everybody):
        for change in comparison.of(people[0]):
            left -= len(people)
            if left < 0:
                raise _too_large(f"They come to more than {most.told:,} for all people together.")
            key = comparison.key(change)
            told.setdefault(key, change)
            found[key] += (pair.both[0].person for pair in people)
    complete = (
        msgspec.structs.replace(told[key], people=tuple(people)) for key, people in found.items()
    )
    return tuple(sorted(complete, key=lambda one: (one.dataset, one.turn, str(one.post))))


def _up_to(most: int, found: Iterable[Found]) -> Iterator[Found]:
    for number, one in enumerate(found):
        if number == most:
            raise _too_large(f"They rest on more than {most:,} rules.")
        yield one


def _too_large(why: str) -> AnswerTooLarge:
    return AnswerTooLarge(
        f"Too much has changed between the two points to be told at once. {why}",
        next_step="Ask about one dataset with --dataset, or about a shorter time with --until.",
    )


class _Comparison(NamedTuple):
    """The two points beside each other."""

    before: View
    after: View
    moved: Movement
    directory: Directory

    def alike(self, everybody: Collection[Pair]) -> Collection[list[Pair]]:
        """Pairs by what the answers at both points rest on."""
        groups: defaultdict[object, list[Pair]] = defaultdict(list)
        for pair in everybody:
            groups[self._standing(pair)].append(pair)
        return groups.values()

    def _standing(self, pair: Pair) -> object:
        told = self.before.told(pair.names) | self.after.told(pair.names)
        return tuple(
            one and (one.post, one.subject.audience, one.purpose, one.subject.principals & told)
            for one in pair
        )

    def of(self, pair: Pair) -> Iterator[Change]:
        """What changed for a capacity, without the people; once for each pair of grants."""
        for dataset in sorted(self._datasets(pair)):
            before = self.before.allowed(pair.before, dataset) if pair.before else {}
            after = self.after.allowed(pair.after, dataset) if pair.after else {}
            turns: defaultdict[tuple[str, str], list[Action]] = defaultdict(list)
            for action in ACTIONS:
                was, is_ = before.get(action), after.get(action)
                if (was and (was.grant, was.obligations)) != (is_ and (is_.grant, is_.obligations)):
                    turns[was.grant if was else "", is_.grant if is_ else ""].append(action)
            for actions in turns.values():
                was, is_ = before.get(actions[0]), after.get(actions[0])
                yield self._change(
                    pair,
                    dataset,
                    tuple(actions),
                    self.before.book.rule(was.rule) if was else None,
                    self.after.book.rule(is_.rule) if is_ else None,
                )

    def _datasets(self, pair: Pair) -> set[str]:
        texts = self.before.book.written_on(pair.names) | self.after.book.written_on(pair.names)
        reachable = self.directory.covered(texts)
        return reachable if self.moved.all_of(pair) else reachable & self.moved.some_of(pair)

    def _change(
        self,
        pair: Pair,
        dataset: str,
        actions: tuple[Action, ...],
        before: Rule | None,
        after: Rule | None,
    ) -> Change:
        turn = Turn.GAINED if before is None else Turn.LOST if after is None else Turn.CHANGED
        return Change(
            turn=turn,
            dataset=dataset,
            post=pair.both[0].post,
            actions=actions,
            before=before,
            after=after,
            causes=tuple(self._causes(pair, dataset, before, after)),
            people=(),
        )

    def _causes(
        self, pair: Pair, dataset: str, before: Rule | None, after: Rule | None
    ) -> Iterator[Cause]:
        deciding = {rule.id for rule in (before, after) if rule is not None}
        denials = {denial.id for denial in self.after.book.denials(pair.names, dataset)}
        if deciding & self.moved.written:
            yield Cause.RULE
        if denials & (self.moved.written | self.moved.passed):
            yield Cause.DENIAL
        if pair.moved:
            joined, left = pair.before is None, pair.after is None
            yield Cause.JOINED if joined else Cause.LEFT if left else Cause.AUDIENCE
        if self.moved.ceilings_of(dataset):
            yield Cause.STAGE
        if deciding & self.moved.passed:
            yield Cause.TIME

    @staticmethod
    def key(change: Change) -> object:
        """Equal for what people would call the same change."""
        return (
            change.turn,
            change.dataset,
            change.post,
            change.actions,
            change.before and (change.before.grant, change.before.exp),
            change.after and (change.after.grant, change.after.exp),
            change.causes,
        )
