"""The policy's revision: one number that moves with everything that a read's answer rests on.

Whoever writes a rule, a stage, a membership, a secondment, a project's accreditation, an end of a
token or a release moves it in the same transaction. A read commits its audit entry under a shared
lock on the number, and answers what it found under the same number before (see `memo`) or anew. So
no answer outlives what it rests on, without any message between processes.

Take the lock first in a transaction (`lock_shared` to read, `advance` to write): one order for all
means that no two transactions can wait for each other.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, select, text, update

from access_policies.records import revision, revisions

_ONLY_ROW = 1
_READ = select(revision.c.number)
_LOCKED = _READ.with_for_update(read=True)
_MOVED = update(revision).values(number=revision.c.number + 1).returning(revision.c.number)
_DATED = insert(revisions)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CLOCK = "marketplace_clock"
"""The execution option under which a connection has the marketplace's clock; else the machine's."""


def read(connection: Connection) -> int:
    """The revision now, without a lock; 0 before the first write."""
    number = connection.execute(_READ).scalar()
    return int(number or 0)


def lock_shared(connection: Connection) -> int:
    """The revision, which nobody can move until this transaction ends.

    On SQLite the transaction must be a writing one: its write lock is what keeps others out.
    """
    number = connection.execute(_LOCKED).scalar()
    if number is None:
        _ensure_row(connection)
        number = connection.execute(_LOCKED).scalar_one()
    return int(number)


def advance(connection: Connection) -> int:
    """Move the revision and return it; other writers and `lock_shared` wait for this transaction."""
    number = connection.execute(_MOVED).scalar()
    if number is None:
        _ensure_row(connection)
        number = connection.execute(_MOVED).scalar_one()
    connection.execute(_DATED, {"number": number, "moved_at": _now(connection)})
    return int(number)


def _ensure_row(connection: Connection) -> None:
    # A row that does not exist cannot be locked, so the first caller makes it.
    connection.execute(
        text("INSERT INTO policy_revision (id, number) VALUES (:id, 0) ON CONFLICT DO NOTHING"),
        {"id": _ONLY_ROW},
    )


def _now(connection: Connection) -> int:
    """Microseconds since 1970."""
    clock = connection.get_execution_options().get(CLOCK)
    now: datetime = clock() if clock is not None else datetime.now(UTC)
    return (now - _EPOCH) // timedelta(microseconds=1)
