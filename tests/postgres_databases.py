"""Databases of one PostgreSQL server for tests: made once, and emptied for the next test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from psycopg import Connection

from marketplace.database import open_database

_TEMPLATE = "template_marketplace"
# Deleted rows stay in a table's file, and later tests would read them.
_MOST_KEPT_BYTES = 4 * 1024**2

_LEAVE = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
_SHAPE = """
    SELECT (SELECT version_num FROM alembic_version), md5(string_agg(part, ',' ORDER BY part)) FROM (
      SELECT concat_ws(' ', relname, relkind, attnum, attname, atttypid, attnotnull) AS part
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0
      UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
      UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
      UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) AS parts
"""
_SIZE = """
    SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
_TABLES = """
    SELECT quote_ident(tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""
_RESTART = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
# For as long as a transaction: no foreign key is looked at, so the order of tables does not matter.
_IN_ANY_ORDER = "SET LOCAL session_replication_role = replica"


@dataclass(frozen=True)
class Content:
    """Every row of a database, as PostgreSQL copies them, and how far its numbers have come."""

    rows: dict[str, bytes]
    numbers: list[tuple[int, int, bool]]


class PostgresDatabases:
    """Migrated, empty databases on a server.

    To make one and drop it costs several times what emptying it does, so one that a test leaves is
    emptied and given to the next, under another name, unless the test changed its tables.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._idle: list[str] = []
        self._administration = psycopg.connect(self._address("postgres"), autocommit=True)
        self._administer(f"CREATE DATABASE {_TEMPLATE}")
        database = open_database(self._url(_TEMPLATE))
        database.migrate()
        database.close()
        with psycopg.connect(self._address(_TEMPLATE)) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of a database that nobody else has, for the length of a block."""
        name = f"test_{uuid4().hex}"
        if self._idle:
            self._administer(f"ALTER DATABASE {self._idle.pop()} RENAME TO {name}")
        else:
            self._administer(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        try:
            yield self._url(name)
        finally:
            self._take_back(name)

    def close(self) -> None:
        """Let the server go."""
        self._administration.close()

    def _take_back(self, name: str) -> None:
        """Keep a database for another test, or drop it where that would notice this one."""
        idle = f"idle_{uuid4().hex}"
        try:
            self._administration.execute(_LEAVE, [name])
            # What a test left running does not find it any more.
            self._administer(f"ALTER DATABASE {name} RENAME TO {idle}")
        except psycopg.errors.ObjectInUse:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")
            return
        if self._emptied(idle):
            self._idle.append(idle)
        else:
            self._administer(f"DROP DATABASE {idle} WITH (FORCE)")

    def _emptied(self, name: str) -> bool:
        """Whether it is now as a new one would be."""
        with psycopg.connect(self._address(name)) as connection:
            try:
                if connection.execute(_SHAPE).fetchone() != self._shape:
                    return False
            except psycopg.errors.UndefinedTable:
                return False
            [size] = connection.execute(_SIZE).fetchone() or [0]
            if size > _MOST_KEPT_BYTES:
                return False
            deletions = [f"DELETE FROM {table}" for table in _tables(connection)]
            connection.execute(";".join([_IN_ANY_ORDER, *deletions, _RESTART]))
            return True

    def _administer(self, statement: str) -> None:
        self._administration.execute(statement)

    def _address(self, name: str) -> str:
        """Where a database is, as PostgreSQL's own library reads it."""
        before, _, after = self._server.partition("/postgres?")
        return f"{before}/{name}?{after}"

    def _url(self, name: str) -> str:
        return self._address(name).replace("postgresql://", "postgresql+psycopg://", 1)


def content_of(url: str) -> Content:
    """All that is in a database now."""
    with psycopg.connect(_address_of(url)) as connection:
        rows = {}
        for table in _tables(connection):
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                rows[table] = b"".join(map(bytes, copy))
        numbers = [
            (number, *connection.execute(f"SELECT last_value, is_called FROM {name}").fetchone())
            for number, name in connection.execute(
                "SELECT seqrelid, seqrelid::regclass::text FROM pg_sequence"
            ).fetchall()
        ]
    return Content({table: found for table, found in rows.items() if found}, numbers)


def fill(url: str, content: Content) -> None:
    """Put all of it into an empty database."""
    with psycopg.connect(_address_of(url)) as connection:
        connection.execute(_IN_ANY_ORDER)
        for table, rows in content.rows.items():
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(rows)
        for number in content.numbers:
            connection.execute("SELECT setval(%s, %s, %s)", number)


def _tables(connection: Connection) -> list[str]:
    """The names of all tables that migrations leave empty."""
    return [name for (name,) in connection.execute(_TABLES)]


def _address_of(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
