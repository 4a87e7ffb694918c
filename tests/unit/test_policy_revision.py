"""The policy revision: no read is recorded under a revision that a finished write has moved."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import OperationalError

from access_policies import revision
from marketplace.database import Database


def test_the_revision_begins_at_nothing_and_moves_by_one(database: Database):
    with database.reading() as connection:
        assert revision.read(connection) == 0
    with database.writing() as connection:
        assert revision.lock_shared(connection) == 0
    for expected in (1, 2):
        with database.writing() as connection:
            assert revision.advance(connection) == expected
    with database.reading() as connection:
        assert revision.read(connection) == 2


def test_a_move_that_is_rolled_back_did_not_happen(database: Database):
    try:
        with database.writing() as connection:
            revision.advance(connection)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with database.reading() as connection:
        assert revision.read(connection) == 0


def test_nobody_moves_the_revision_while_a_read_is_being_recorded(database: Database):
    with database.writing() as connection:
        revision.advance(connection)
    with database.writing() as connection:
        revision.lock_shared(connection)
        with pytest.raises(OperationalError, match="lock"):
            move_without_waiting(database, connection.engine)


def move_without_waiting(database: Database, engine: Engine) -> None:
    """Move the revision, or raise at once where it is held."""
    if engine.dialect.name == "sqlite":
        impatient = create_engine(engine.url, connect_args={"timeout": 0}, poolclass=NullPool)
        with impatient.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    with database.writing() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        revision.advance(connection)


def test_a_read_that_begins_during_a_write_sees_what_the_write_did(database: Database):
    moved, reading = Event(), Event()

    def write() -> None:
        with database.writing() as connection:
            revision.advance(connection)
            moved.set()
            reading.wait(10)

    def read() -> int:
        moved.wait(10)
        reading.set()
        with database.writing() as connection:
            return revision.lock_shared(connection)

    with ThreadPoolExecutor(2) as pool:
        writer, reader = pool.submit(write), pool.submit(read)
        writer.result()
        assert reader.result() == 1


def test_many_first_users_at_once_all_get_their_turn(database: Database):
    together = Barrier(6)

    def step(take: Callable[..., int]) -> int:
        together.wait(10)
        with database.writing() as connection:
            return take(connection)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(step, [revision.advance, revision.lock_shared] * 3))
    with database.reading() as connection:
        assert revision.read(connection) == 3
