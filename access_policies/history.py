"""How the policy stood at any revision: what each revision changed, as it was before.

Whoever writes a rule, a stage, a membership or a secondment notes here how the row was, in the
transaction that moves the revision, after moving it. So the rows of today with the notes since a
revision undone are the rows of then; what is deleted is noted as it was. A note is kept with the number,
not the moment: clocks can be set back, revisions cannot.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, func, select, text

from access_policies import revision
from access_policies.errors import PolicyError
from access_policies.records import changes, revisions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_NOTE_COUNTS = text(
    "INSERT INTO policy_changes (revision, kind, key, before) "
    "VALUES (:revision, :kind, :key, :before) ON CONFLICT DO NOTHING"
)


class Kind(StrEnum):
    """What is noted, and what of a row can change."""

    RULE = "rule"
    "By identifier: its begin and its end."
    MEMBERSHIP = "membership"
    "By identifier: its last day."
    SECONDMENT = "secondment"
    "By identifier: its last day."
    APPOINTMENT = "appointment"
    "By identifier: its last day."
    HANDLING = "handling"
    "By dataset: how it is to be handled."
    ACCREDITATION = "accreditation"
    "By project: its last day."
    INVITATION = "invitation"
    "By wave and name: the revision that it was written under; the row is gone once it is taken back."


class Absence(Enum):
    """What a row was before it was written."""

    ABSENT = "absent"


ABSENT: Final = Absence.ABSENT
Before = Any | Literal[Absence.ABSENT]
"""What of a row can change, as JSON has it; ABSENT where the row was not there."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the history: the rules of a revision, at a moment."""

    revision: int
    moment: datetime


class Past:
    """What was otherwise at a revision than it is today (`revision` None: nothing)."""

    def __init__(self, noted: Mapping[tuple[str, str], Before], revision: int | None) -> None:
        self._noted = noted
        self.revision = revision

    def was(self, kind: Kind, key: str, today: object) -> Before:
        """What of a row can change as it was then, given what it is today."""
        return self._noted.get((kind.value, key), today)

    def keys(self, kind: Kind) -> frozenset[str]:
        """The rows of a kind that are otherwise today."""
        return frozenset(key for noted, key in self._noted if noted == kind.value)


TODAY = Past({}, None)
"""Nothing undone."""


def note(connection: Connection, kind: Kind, before: Mapping[str, Before]) -> None:
    """Keep how rows were, by their keys, before this transaction changes them.

    Call it after `revision.advance`. Of several notes on one row in one revision the first counts.
    """
    if not before:
        return
    number = revision.read(connection)
    connection.execute(
        _FIRST_NOTE_COUNTS,
        [
            {
                "revision": number,
                "kind": kind.value,
                "key": key,
                "before": None if was is ABSENT else msgspec.json.encode(was).decode(),
            }
            for key, was in before.items()
        ],
    )


def past(connection: Connection, number: int, kind: Kind | None = None) -> Past:
    """What was otherwise at that revision; of one kind, or of all."""
    return _undoing(_notes(connection, number, kind), number)


def changed(connection: Connection, since: int, until: int, kind: Kind) -> frozenset[str]:
    """The keys of the rows that revisions after `since` up to `until` changed."""
    found = select(changes.c.key).where(
        changes.c.revision > since, changes.c.revision <= until, changes.c.kind == kind.value
    )
    return frozenset(connection.execute(found).scalars())


def newest(connection: Connection, now: datetime) -> Point:
    """The policy as it is."""
    return Point(revision=revision.read(connection), moment=now)


def at_revision(connection: Connection, number: int) -> Point:
    """The policy as a revision left it, at the moment of that revision.

    Raises PolicyError for a number that there is none of, or that is older than the history.
    """
    moved = select(revisions.c.moved_at).where(revisions.c.number == number)
    found = connection.execute(moved).scalar()
    if found is None:
        raise _unknown(connection, f"There is no policy revision {number} in the history.")
    return Point(revision=number, moment=_EPOCH + timedelta(microseconds=found))


def at_moment(connection: Connection, moment: datetime) -> Point:
    """The policy as it was at a moment. Raises PolicyError for one before the history begins."""
    before = select(func.max(revisions.c.number)).where(revisions.c.moved_at <= _micro(moment))
    number = connection.execute(before).scalar()
    if number is None and (_oldest(connection) or 1) > 1:
        raise _unknown(connection, "The history of the policy begins after that moment.")
    return Point(revision=number or 0, moment=moment)


def _notes(connection: Connection, since: int, kind: Kind | None) -> Iterable[Any]:
    query = (
        select(changes.c.kind, changes.c.key, changes.c.before)
        .where(changes.c.revision > since)
        .order_by(changes.c.revision.desc())
    )
    return connection.execute(query if kind is None else query.where(changes.c.kind == kind.value))


def _undoing(notes: Iterable[Any], number: int) -> Past:
    """Undo notes, the newest first: the oldest of a row says how it was."""
    return Past(
        {
            (kind, key): ABSENT if before is None else msgspec.json.decode(before)
            for kind, key, before in notes
        },
        number,
    )


def _micro(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _oldest(connection: Connection) -> int | None:
    return connection.execute(select(func.min(revisions.c.number))).scalar()


def _unknown(connection: Connection, detail: str) -> PolicyError:
    oldest, latest = _oldest(connection), revision.read(connection)
    return PolicyError(
        detail, next_step=f"The history holds the revisions {oldest or latest} to {latest}."
    )
