"""The metadata database: SQLite on one machine, PostgreSQL where one is not enough.

The only home of SQLAlchemy engines. Rooms take a `Connection` and never open a transaction; use
cases open one here, so that a release or an agreement, its rules and its audit entry commit as one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from access_policies.revision import CLOCK

_BUSY_SECONDS = 30.0
_MIGRATION_LOCK = 0x6D61726B  # any number that nothing else in this database locks


class Database:
    """Transactions on the metadata. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(marketplace_writes=True)
        # On PostgreSQL each statement of the default level sees its own moment; SQLite has one.
        one_view = {} if engine.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reader = engine.execution_options(**one_view)
        self._turn = Lock() if engine.name == "sqlite" else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; nothing that is written inside is kept."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that commits when the block ends and rolls back where it raises.

        On SQLite it holds the single write lock from its first statement, so that what it read
        is still true when it commits.
        """
        with self._in_turn(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Wait for the other threads' writing transactions where only one can be.

        SQLite would have them look again now and then, up to a tenth of a second later, and whoever
        looks in between goes first: one who approves or revokes would wait for all who read.
        """
        # Whoever has waited in vain asks SQLite, which says what is wrong.
        came = self._turn is not None and self._turn.acquire(timeout=_BUSY_SECONDS)
        try:
            yield
        finally:
            if self._turn is not None and came:
                self._turn.release()

    def migrate(self) -> None:
        """Bring the schema to the newest revision; of several nodes that start, one does it."""
        # Only the process that prepares the others' database needs it.
        from alembic import command
        from alembic.config import Config

        configuration = Config()
        configuration.set_main_option(
            "script_location", str(Path(__file__).with_name("migrations"))
        )
        with self._writer.begin() as connection:
            if self._writer.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


def open_database(url: str, *, clock: Callable[[], datetime] | None = None) -> Database:
    """Connect to the database at a SQLAlchemy URL (`sqlite:///...` or `postgresql+psycopg://...`).

    The `clock` dates the revisions of the policy; without one it is the machine's. SQLite is put into WAL mode with `synchronous=FULL`: anything less may lose an acknowledged
    commit when the power fails.
    """
    parsed = make_url(url)
    options = {CLOCK: clock}
    if parsed.get_backend_name() != "sqlite":
        return Database(create_engine(parsed, pool_pre_ping=True, execution_options=options))
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        execution_options=options,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transaction control begins late and never for reads; ours is explicit.
    connection.isolation_level = None
    cursor = connection.cursor()
    # With secure_delete, erased personal details do not linger in free pages of the file.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("marketplace_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
