"""Time as a dependency, so that a last day can be reached without waiting for it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from threading import Lock
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")

Clock = Callable[[], datetime]
"""Returns the present moment as an aware datetime in UTC."""


def system_clock() -> datetime:
    """The machine's own time."""
    return datetime.now(UTC)


def never_back(clock: Clock) -> Clock:
    """The same clock, except that it stands still while the other is behind what it showed before.

    What has ended by time stays ended although the machine's clock is set back. After one that was
    far ahead was put right, start again: until then what ends and begins by time would not.
    """
    guard = Lock()
    latest = clock()

    def now() -> datetime:
        nonlocal latest
        with guard:
            latest = max(latest, clock())
            return latest

    return now


def end_of_last_day(last_day: date) -> datetime:
    """The midnight in Europe/London that ends `last_day`, in UTC (summer time included)."""
    midnight = datetime.combine(last_day + timedelta(days=1), time.min, tzinfo=LONDON)
    return midnight.astimezone(UTC)


def last_day_ending(moment: datetime) -> date | None:
    """The last day that a moment ends, the other way round; None where it is no such midnight."""
    day = moment.astimezone(LONDON).date() - timedelta(days=1)
    return day if end_of_last_day(day) == moment else None


def start_of_day(first_day: date) -> datetime:
    """The midnight in Europe/London that begins `first_day`, in UTC."""
    return datetime.combine(first_day, time.min, tzinfo=LONDON).astimezone(UTC)
