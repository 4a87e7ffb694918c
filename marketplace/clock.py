"""Time as a dependency, so that a last day can be reached without waiting for it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")

Clock = Callable[[], datetime]
"""Returns the present moment as an aware datetime in UTC."""


def system_clock() -> datetime:
    """The machine's own time."""
    return datetime.now(UTC)


def end_of_last_day(last_day: date) -> datetime:
    """The midnight in Europe/London that ends `last_day`, in UTC (summer time included)."""
    midnight = datetime.combine(last_day + timedelta(days=1), time.min, tzinfo=LONDON)
    return midnight.astimezone(UTC)


def start_of_day(first_day: date) -> datetime:
    """The midnight in Europe/London that begins `first_day`, in UTC."""
    return datetime.combine(first_day, time.min, tzinfo=LONDON).astimezone(UTC)
