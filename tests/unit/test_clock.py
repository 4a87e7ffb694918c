"""Clocks: what is set back brings nothing back."""

from datetime import timedelta
from typing import TYPE_CHECKING

from marketplace.clock import never_back

if TYPE_CHECKING:
    from tests.conftest import SettableClock

HOUR = timedelta(hours=1)


def test_a_clock_that_is_set_back_stands_still_until_it_has_caught_up(clock: "SettableClock"):
    steady = never_back(clock)
    clock.advance(HOUR)
    furthest = steady()
    assert furthest == clock()
    clock.advance(-2 * HOUR)
    assert steady() == furthest
    clock.advance(2 * HOUR)
    assert steady() == furthest
    clock.advance(HOUR)
    assert steady() == furthest + HOUR


def test_what_the_clock_showed_before_it_was_first_asked_counts_too(clock: "SettableClock"):
    started = clock()
    steady = never_back(clock)
    clock.advance(-HOUR)
    assert steady() == started
