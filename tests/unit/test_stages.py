"""How far the rollout has come at a moment: the last move that has begun, for whom it is meant."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from access_policies import revision, rules, stages
from access_policies.errors import InvalidRule
from access_policies.records import stages as table
from access_policies.stages import AT_ONCE, Move, Reach, holding, to_come
from access_policies.vocabulary import Audience

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


def move(
    connection: Connection,
    stage: Audience,
    *,
    scope: str = "*",
    at: datetime | None = None,
    waves: tuple[str, ...] | None = None,
) -> None:
    stages.write(
        connection,
        Move(
            scope=scope,
            since_revision=revision.advance(connection),
            reach=Reach(stage, waves),
            begins=AT_ONCE if at is None else rules.epoch(at),
        ),
    )


def stage(connection: Connection, scope: str = "*", *, now: datetime = NOON) -> Audience:
    return stages.openings(connection, {scope}, now=now)[scope].stage


def test_what_nobody_has_opened_is_open_to_government_alone(passing_connection: Connection):
    assert stage(passing_connection) is Audience.GOVERNMENT
    assert stage(passing_connection, "mhclg.housing") is Audience.PUBLIC


def test_the_move_that_was_written_last_holds(passing_connection: Connection):
    for audience in (Audience.BUSINESS, Audience.RESEARCHER):
        move(passing_connection, audience)
        assert stage(passing_connection) is audience
    assert stage(passing_connection, "mhclg.housing") is Audience.PUBLIC


def test_a_scheduled_move_holds_from_its_very_second(passing_connection: Connection):
    move(passing_connection, Audience.LOCAL_GOVERNMENT)
    move(passing_connection, Audience.RESEARCHER, at=NOON + HOUR)
    opened = stages.openings(passing_connection, {"*"}, now=NOON)["*"]
    assert (opened.stage, opened.changes_at) == (Audience.LOCAL_GOVERNMENT, NOON + HOUR)
    just_before = NOON + HOUR - INSTANT
    assert stage(passing_connection, now=just_before) is Audience.LOCAL_GOVERNMENT
    after = stages.openings(passing_connection, {"*"}, now=NOON + HOUR)["*"]
    assert (after.stage, after.changes_at) == (Audience.RESEARCHER, None)


def test_a_move_at_once_replaces_one_that_is_scheduled(passing_connection: Connection):
    move(passing_connection, Audience.PUBLIC, at=NOON + HOUR)
    move(passing_connection, Audience.GOVERNMENT)
    opened = stages.openings(passing_connection, {"*"}, now=NOON)["*"]
    assert (opened.stage, opened.changes_at) == (Audience.GOVERNMENT, None)
    assert stage(passing_connection, now=NOON + 2 * HOUR) is Audience.GOVERNMENT


def test_a_clock_that_is_set_back_does_not_undo_a_closing(passing_connection: Connection):
    move(passing_connection, Audience.PUBLIC)
    move(passing_connection, Audience.GOVERNMENT)
    assert stage(passing_connection, now=NOON - 10_000 * HOUR) is Audience.GOVERNMENT


def test_only_who_is_invited_is_admitted_in_the_highest_audience(passing_connection: Connection):
    move(passing_connection, Audience.RESEARCHER, waves=("first", "second"))
    since = revision.read(passing_connection)
    stages.invite(
        passing_connection, "second", "organisation:leeds_university", since_revision=since
    )
    stages.invite(passing_connection, "third", "organisation:acme", since_revision=since)
    for names in (None, ("organisation:leeds_university", "organisation:acme", "person:ada")):
        opened = stages.openings(passing_connection, {"*"}, now=NOON, names=names)["*"]
        assert opened.invited == {"organisation:leeds_university"}
        invited = frozenset({"organisation:leeds_university", "audience:researcher"})
        assert opened.ceiling_for(invited) is Audience.RESEARCHER
        assert opened.ceiling_for({"organisation:acme"}) is Audience.LOCAL_GOVERNMENT


def test_who_was_invited_at_a_revision_is_told_also_after_it_was_taken_back(
    passing_connection: Connection,
):
    names = "organisation:leeds_university", "organisation:york_university"
    move(passing_connection, Audience.RESEARCHER, waves=("first",))
    told: list[tuple[int, frozenset[str]]] = []
    for name, act in (
        (names[0], True),
        (names[1], True),
        *((names[0], on) for on in (False, True, False)),
    ):
        since = revision.advance(passing_connection)
        if act:
            stages.invite(passing_connection, "first", name, since_revision=since)
        else:
            stages.uninvite(passing_connection, "first", name)
        told.append((since, frozenset(stages.invited(passing_connection, "first"))))
    assert [len(held) for _, held in told] == [1, 2, 1, 2, 1]
    for number, held in told:
        for asked in (None, names):
            opened = stages.openings(
                passing_connection, {"*"}, now=NOON, names=asked, at_revision=number
            )["*"]
            assert opened.invited == held


def test_every_wave_in_force_admits_whom_it_invited(passing_connection: Connection):
    move(passing_connection, Audience.RESEARCHER, waves=("first", "second"))
    since = revision.read(passing_connection)
    for wave in ("first", "second"):
        stages.invite(passing_connection, wave, f"project:{wave}", since_revision=since)
    opened = stages.openings(passing_connection, {"*"}, now=NOON)["*"]
    assert opened.invited == {"project:first", "project:second"}


def test_government_cannot_be_open_to_the_invited_alone(passing_connection: Connection):
    with pytest.raises(InvalidRule):
        move(passing_connection, Audience.GOVERNMENT, waves=("first",))


@pytest.mark.parametrize("damage", [{"stage": 9}, {"waves": "everybody"}, {"waves": "[1]"}])
def test_a_damaged_move_opens_nothing(passing_connection: Connection, damage: dict[str, object]):
    row = {"scope": "*", "since_revision": 1, "stage": 4, "waves": None, "begins": 0}
    passing_connection.execute(insert(table), row | damage)
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's errors are ValueErrors too
        stages.openings(passing_connection, {"*"}, now=NOON)


def moves() -> st.SearchStrategy[tuple[Move, ...]]:
    def numbered(found: list[tuple[Audience, int]]) -> tuple[Move, ...]:
        return tuple(
            Move(scope="*", since_revision=number, reach=Reach(audience), begins=begins)
            for number, (audience, begins) in enumerate(found)
        )

    return st.lists(st.tuples(st.sampled_from(Audience), st.integers(0, 9)), max_size=7).map(
        numbered
    )


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


@given(found=moves(), now=st.integers(0, 9))
def test_what_is_to_come_is_what_will_hold_one_second_after_another(
    found: tuple[Move, ...], now: int
):
    ahead = []
    held = holding(found, at(now))
    for second in range(now + 1, 11):
        then = holding(found, at(second))
        if then is not held:
            assert then is not None
            ahead.append(then)
            held = then
    assert to_come(found, at(now)) == tuple(ahead)


reaches = st.builds(
    Reach,
    st.sampled_from(tuple(Audience)[1:]),
    st.none() | st.sets(st.sampled_from("abc"), min_size=1).map(lambda found: tuple(sorted(found))),
)


@given(before=reaches, after=reaches)
def test_a_reach_opens_beyond_another_where_it_could_admit_somebody_else(
    before: Reach, after: Reach
):
    def admitted(reach: Reach) -> set[tuple[Audience, str]]:
        everyone = {(audience, wave) for audience in Audience for wave in "abc-"}
        return {
            (audience, wave)
            for audience, wave in everyone
            if audience < reach.stage
            or (audience is reach.stage and (reach.waves is None or wave in reach.waves))
        }

    assert after.opens_beyond(before) is bool(admitted(after) - admitted(before))
