"""Looks at a world: the same questions to the marketplace and to the naive evaluator, and to itself."""

import random
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

from access_policies.vocabulary import Action
from marketplace.identity.principal import Principal
from tests.oracle import naive
from tests.oracle.country import DATASETS, SCOPES, TABLE, WHOLE, boundaries, served, terms_of
from tests.oracle.facts import Terms, Token
from tests.oracle.stories import Act, Story
from tests.oracle.world import World, new_world

INSTANT = timedelta(microseconds=1)
ACTIONS = tuple(Action)
USES = (*sorted(naive.KNOWING), *sorted(naive.READING), *sorted(naive.READING))
MOSTLY = 0.7
NEAR = timedelta(days=2)

Question = tuple[Action, str]
Asked = tuple[Token, Action, str, datetime]


class Tally:
    """How much was compared, and how often each sentence of the house gave the answer."""

    def __init__(self) -> None:
        self.worlds = 0
        self.decisions = 0
        self.lists = 0
        self.allowed = 0
        self.again = 0
        self.narrowings = 0
        self.because: Counter[str] = Counter()


def moments(world: World, numbers: random.Random) -> list[datetime]:
    """Now, and just before, at or just after what begins or ends; not in the order of time."""
    every = boundaries(world.facts)
    near = [edge for edge in every if abs(edge - world.now) < NEAR]
    chosen = [world.now]
    for edges in (near or every, every):
        beside = INSTANT * numbers.choice((-1, -1, 0, 0, 1))
        chosen.append(numbers.choice(edges) + beside)
    numbers.shuffle(chosen)
    return chosen


def question(numbers: random.Random) -> Question:
    """Mostly about using a dataset, else any action on anything."""
    if numbers.random() < MOSTLY:
        return numbers.choice(USES), numbers.choice(DATASETS)
    return numbers.choice(ACTIONS), numbers.choice(SCOPES)


def look(world: World, numbers: random.Random, tally: Tally, *, questions: int) -> None:
    """Ask everybody some questions, each at several moments under one revision of the policy."""
    at = moments(world, numbers)
    for token in world.facts.tokens:
        asked = [question(numbers) for _ in range(questions)]
        callers = [(moment, world.principal(token, moment)) for moment in at]
        for moment, caller in callers:
            _check_caller(world, token, caller, moment)
            for action, dataset in asked:
                _check_answer(world, token, caller, action, dataset, moment, tally)
        _check_list(world, token, *callers[0], asked[0][0], tally)
        _check_until_it_changes(world, token, callers)


def _check_caller(world: World, token: Token, caller: Principal | None, moment: datetime) -> None:
    expected = naive.caller(world.facts, token, moment)
    if isinstance(expected, str):
        assert caller is None, (expected, token, moment)
        return
    assert caller is not None, (expected, token, moment)
    found = (caller.subject.audience, caller.subject.organisation, caller.role, caller.project)
    assert found == (expected.audience, expected.acts_for, expected.role, expected.project), (
        found,
        expected,
        moment,
    )


def _check_answer(
    world: World,
    token: Token,
    caller: Principal | None,
    action: Action,
    dataset: str,
    moment: datetime,
    tally: Tally,
) -> None:
    expected = world.expected(token, action, dataset, moment)
    tally.decisions += 1
    tally.allowed += expected.allowed
    tally.because[expected.because] += 1
    if caller is None:
        assert not expected.allowed
        return
    decision = world.decide(caller, action, dataset, moment)
    about = (expected, decision, token, action, dataset, moment)
    assert decision.allowed is expected.allowed, about
    if expected.allowed:
        assert decision.grant == expected.grant, about
        assert terms_of(decision) == expected.terms, about
        assert served(decision) == _columns(expected.terms), about
    else:
        assert decision.obligations == (), about


def _columns(terms: Terms) -> tuple[str, ...] | None:
    """The columns of the one table that may leave: all by a role, else as agreed and still there."""
    if terms == naive.EVERYTHING:
        return WHOLE
    agreed = dict(terms.tables).get(TABLE.name)
    if terms.tier != "rows" or agreed is None or not {*agreed} <= {*WHOLE}:
        return None
    return agreed


def _check_list(
    world: World,
    token: Token,
    moment: datetime,
    caller: Principal | None,
    action: Action,
    tally: Tally,
) -> None:
    if caller is None:
        return
    listed = world.permitted(caller, action, moment)
    expected = tuple(
        name for name in DATASETS if world.expected(token, action, name, moment).allowed
    )
    tally.lists += 1
    assert listed == expected, (listed, expected, token, action, moment)


def _check_until_it_changes(
    world: World, token: Token, callers: list[tuple[datetime, Principal | None]]
) -> None:
    """Whoever keeps a caller until `changes_at` keeps who they are."""
    in_order = sorted(callers, key=lambda one: one[0])
    for (before, caller), (after, later) in pairwise(in_order):
        if caller is not None and after < min(caller.changes_at, caller.valid_until):
            assert later is not None, (token, before, after)
            assert later.subject == caller.subject, (token, before, after)


def narrow(world: World, act: Act, numbers: random.Random, tally: Tally, *, questions: int) -> None:
    """Let something close that can only close, and see that it opens nothing to anybody."""
    at = [moment for moment in moments(world, numbers) if moment >= world.now] or [world.now]
    asked: list[Asked] = [
        (token, *question(numbers), moment)
        for token in world.facts.tokens
        for moment in at
        for _ in range(questions)
    ]
    before = [_allowed(world, *one) for one in asked]
    world.do(act)
    for one, was in zip(asked, before, strict=True):
        tally.again += 1
        assert was or not _allowed(world, *one), one
    tally.narrowings += 1


def _allowed(world: World, token: Token, action: Action, dataset: str, now: datetime) -> bool:
    caller = world.principal(token, now)
    return caller is not None and world.decide(caller, action, dataset, now).allowed


def tell(story: Story, seed: int, tally: Tally, *, questions: int) -> None:
    """Let a story happen and compare at every look."""
    numbers = random.Random(seed)
    with new_world(story.listed) as world:
        for act in story.steps:
            if act is None:
                look(world, numbers, tally, questions=questions)
            else:
                world.do(act)
    tally.worlds += 1


def tell_and_narrow(
    story: Story, closing: list[Act], seed: int, tally: Tally, *, questions: int
) -> None:
    """Let a story happen without looking, then close one thing after another."""
    numbers = random.Random(seed)
    with new_world(story.listed) as world:
        for act in filter(None, story.steps):
            world.do(act)
        for act in closing:
            narrow(world, act, numbers, tally, questions=questions)
    tally.worlds += 1
