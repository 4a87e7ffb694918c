"""Which point of the history people mean: a revision's number, a day, or a moment."""

from datetime import UTC, date, datetime

from sqlalchemy import Connection

from access_policies import history
from access_policies.history import Point
from marketplace.clock import start_of_day
from marketplace.errors import RequestMalformed

_MOST_DIGITS = 18


def meant(connection: Connection, text: str) -> Point:
    """The point of a text: `12` the revision, `2026-06-01` as that day begins in London, or a moment.

    Raises RequestMalformed, and PolicyError where the history does not reach.
    """
    if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS:
        return history.at_revision(connection, int(text))
    return history.at_moment(connection, _moment(text))


def _moment(text: str) -> datetime:
    try:
        return start_of_day(date.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RequestMalformed(
            f"{text[:40]!r} is no policy revision, day or moment.",
            next_step="Give a number, a day as 2026-06-01, or a moment as 2026-06-01T09:00:00+01:00.",
        ) from None
