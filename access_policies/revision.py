"""The policy's revision: one number that every write of a rule, a membership or a stage moves.

A read decides under a revision and commits its audit entry under a shared lock on the same number;
where it has moved in between, the read decides again. So no answer outlives the rule it rests on,
without any message between processes.

Take the lock first in a transaction (`lock_shared` to read, `advance` to write): one order for all
means that no two transactions can wait for each other.
"""

from sqlalchemy import Connection, select, text, update

from access_policies.records import revision

_ONLY_ROW = 1


def read(connection: Connection) -> int:
    """The revision now, without a lock; 0 before the first write."""
    number = connection.execute(select(revision.c.number)).scalar()
    return int(number or 0)


def lock_shared(connection: Connection) -> int:
    """The revision, which nobody can move until this transaction ends.

    On SQLite the transaction must be a writing one: its write lock is what keeps others out.
    """
    _ensure_row(connection)
    locked = select(revision.c.number).with_for_update(read=True)
    return int(connection.execute(locked).scalar_one())


def advance(connection: Connection) -> int:
    """Move the revision and return it; other writers and `lock_shared` wait for this transaction."""
    _ensure_row(connection)
    moved = update(revision).values(number=revision.c.number + 1).returning(revision.c.number)
    return int(connection.execute(moved).scalar_one())


def _ensure_row(connection: Connection) -> None:
    # A row that does not exist cannot be locked, so the first caller makes it.
    if connection.execute(select(revision.c.id)).scalar() is None:
        connection.execute(
            text("INSERT INTO policy_revision (id, number) VALUES (:id, 0) ON CONFLICT DO NOTHING"),
            {"id": _ONLY_ROW},
        )
