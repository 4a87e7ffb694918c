"""A pool of query workers, and small Parquet files for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from catalogue.address import TableAddress
from marketplace.engine.limits import Limits
from marketplace.engine.query.view_map import BoundTable
from marketplace.engine.query.workers import QueryWorkers

WriteParquet = Callable[[str, str], Path]
Bind = Callable[..., BoundTable]


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(memory=700 * 1024**2, threads=2, deadline=30.0, stall=30.0)


@pytest.fixture
def write_parquet(tmp_path: Path) -> WriteParquet:
    """Write the rows of a SELECT to a Parquet file of that name."""

    def write(name: str, select: str) -> Path:
        path = tmp_path / name
        duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return path

    return write


@pytest.fixture(scope="session")
def workers(limits: Limits, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryWorkers]:
    """One pool for all tests; a test that kills a worker leaves the next a fresh one."""
    pool = QueryWorkers(limits, places=4, spares=1, scratch=tmp_path_factory.mktemp("scratch"))
    yield pool.start()
    pool.close()


@pytest.fixture(scope="session")
def bound() -> Bind:
    """Say that an address is these files."""

    def bind(address: str, *files: Path, short: bool = True) -> BoundTable:
        return BoundTable(TableAddress.parse(address), short, files)

    return bind
