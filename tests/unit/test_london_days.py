"""The midnight in London that ends a day, against the rule of summer time written out by hand."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marketplace.clock import end_of_last_day, start_of_day

# Before 1996 summer time ended on other days.
days = st.dates(date(1996, 1, 1), date(2099, 12, 30))


def last_sunday(year: int, month: int) -> date:
    """Of a month with 31 days, as March and October have."""
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


def is_summer_at_midnight(day: date) -> bool:
    """Clocks change at one in the morning UTC on a Sunday, so that Sunday's first midnight is before."""
    return last_sunday(day.year, 3) < day <= last_sunday(day.year, 10)


@given(days)
@example(date(2027, 3, 27))
@example(date(2027, 3, 28))
@example(date(2027, 10, 30))
@example(date(2027, 10, 31))
def test_a_day_ends_at_the_midnight_of_london_summer_time_included(day: date):
    following = day + timedelta(days=1)
    midnight = datetime.combine(following, time.min, tzinfo=UTC)
    expected = midnight - timedelta(hours=1 if is_summer_at_midnight(following) else 0)
    assert end_of_last_day(day) == expected
    assert end_of_last_day(day).tzinfo is UTC
    assert start_of_day(following) == end_of_last_day(day)


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2027, 3, 28), 23), (date(2027, 10, 31), 25), (date(2027, 7, 1), 24)]
)
def test_a_day_on_which_clocks_change_is_shorter_or_longer(day: date, hours: int):
    assert end_of_last_day(day) - start_of_day(day) == timedelta(hours=hours)
