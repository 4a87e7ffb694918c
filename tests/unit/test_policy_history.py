"""The history of the policy: notes are undone exactly, and reach no further than they were kept."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, delete

from access_policies import history, revision, rules, stages, standing
from access_policies.errors import PolicyError
from access_policies.history import Kind
from access_policies.records import revisions
from access_policies.vocabulary import Audience

BEGAN = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def dated(passing_connection: Connection) -> Connection:
    """Three revisions: a stage opened, closed, and opened further, a day apart."""
    for day, stage in enumerate((Audience.RESEARCHER, Audience.GOVERNMENT, Audience.PUBLIC)):
        moment = BEGAN + timedelta(days=day)
        at = passing_connection.execution_options(**{revision.CLOCK: lambda now=moment: now})
        revision.advance(at)
        stages.open_at_once(at, "*", stage)
    return passing_connection


def test_a_stage_is_what_it_was_at_each_revision(dated: Connection):
    def stage(number: int) -> Audience:
        return stages.openings(dated, ("*",), now=BEGAN, at_revision=number)["*"].stage

    assert [stage(number) for number in range(4)] == [
        Audience.GOVERNMENT,
        Audience.RESEARCHER,
        Audience.GOVERNMENT,
        Audience.PUBLIC,
    ]
    assert history.changed(dated, 1, 2, Kind.RULE) == frozenset()


def test_a_day_is_the_last_revision_before_it(dated: Connection):
    assert history.at_moment(dated, BEGAN - timedelta(seconds=1)).revision == 0
    assert history.at_moment(dated, BEGAN).revision == 1
    assert history.at_moment(dated, BEGAN + timedelta(hours=30)).revision == 2
    assert history.at_revision(dated, 2).moment == BEGAN + timedelta(days=1)
    assert history.newest(dated, BEGAN).revision == 3


def test_what_is_before_the_history_is_told_as_such(dated: Connection):
    with pytest.raises(PolicyError) as unknown:
        history.at_revision(dated, 4)
    assert "1 to 3" in unknown.value.next_step
    dated.execute(delete(revisions).where(revisions.c.number < 3))
    for ask in (
        lambda: history.at_revision(dated, 2),
        lambda: history.at_moment(dated, BEGAN + timedelta(days=1)),
    ):
        with pytest.raises(PolicyError) as early:
            ask()
        assert "3 to 3" in early.value.next_step
    assert history.at_moment(dated, BEGAN + timedelta(days=2)).revision == 3


def test_of_two_notes_on_one_row_in_a_revision_the_first_counts(dated: Connection):
    revision.advance(dated)
    history.note(dated, Kind.RULE, {"a": (1, 2)})
    history.note(dated, Kind.RULE, {"a": (3, 4)})
    assert history.past(dated, 3).was(Kind.RULE, "a", None) == [1, 2]
    assert history.past(dated, 4).was(Kind.RULE, "a", "as it is") == "as it is"


def test_an_ended_rule_is_whole_again_before_its_end(dated: Connection):
    revision.advance(dated)
    for rule in standing.listing_rules("mhclg.homes", Audience.PUBLIC):
        rules.write(dated, rule)
    made = revision.advance(dated)
    assert rules.end(dated, "listing:mhclg.homes", now=BEGAN) == len(standing.LISTED)
    past = history.past(dated, made - 1)
    assert {tuple(past.was(Kind.RULE, key, None)) for key in past.keys(Kind.RULE)} == {
        (0, rules.FOREVER)
    }
    assert history.changed(dated, made - 1, made, Kind.RULE) == past.keys(Kind.RULE)
