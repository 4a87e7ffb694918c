"""Who, what and changes, against asking the decision point about everybody and everything."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_policies.history import at_revision
from marketplace.oversight import reading
from marketplace.oversight.access import Access
from marketplace.oversight.changes import Change, Turn, changes

from .conftest import DATASETS, POINT, Act, Held, Key, new_world, stories

thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(found: Iterable[Access]) -> Held:
    return {
        (reader.person.id, access.post, access.dataset, action): (
            access.rule.grant,
            access.obligations,
        )
        for access in found
        for reader in access.readers
        for action in access.actions
    }


def turned(found: Iterable[Change]) -> dict[Turn, set[Key]]:
    """What became of whose access, as the naive answer is keyed."""
    return {
        turn: {
            (person.id, one.post, one.dataset, action)
            for one in found
            if one.turn is turn
            for person in one.people
            for action in one.actions
        }
        for turn in Turn
    }


@thorough
@given(story=stories())
def test_who_and_what_are_the_answers_of_the_decision_point_for_everybody(story: list[Act]):
    with new_world() as world:
        for act in story:
            world.do(act)
        expected = world.held()
        who: Held = {}
        for dataset in DATASETS:
            who |= told(reading.who(world.connection, POINT, dataset, now=world.now))
        assert who == expected
        what: Held = {}
        for person in world.people.values():
            what |= told(reading.what(world.connection, POINT, person, now=world.now))
        assert what == expected


@thorough
@given(story=stories(), data=st.data())
def test_changes_are_the_difference_of_what_held_at_the_two_points(
    story: list[Act], data: st.DataObject
):
    with new_world() as world:
        seen = [(world.point, world.held())]
        for act in story:
            world.do(act)
            seen.append((world.point, world.held()))
        first = data.draw(st.integers(0, len(seen) - 2))
        last = data.draw(st.integers(first + 1, len(seen) - 1))
        for earlier, later in [*pairwise(seen), (seen[first], seen[last])]:
            (since, before), (until, after) = earlier, later
            found = changes(world.connection, POINT, since, until, DATASETS)
            assert turned(found) == {
                Turn.GAINED: after.keys() - before.keys(),
                Turn.LOST: before.keys() - after.keys(),
                Turn.CHANGED: {
                    key for key in before.keys() & after.keys() if before[key] != after[key]
                },
            }
            assert all(one.causes for one in found)


@given(story=stories())
@settings(thorough, max_examples=15)
def test_a_revision_is_found_again_with_its_moment(story: list[Act]):
    with new_world() as world:
        for act in story:
            moment = world.now
            world.do(act)
            point = world.point
            assert at_revision(world.connection, point.revision).moment == moment
