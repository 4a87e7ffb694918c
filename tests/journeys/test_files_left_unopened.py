"""Of a table of several files a query fetches those that may hold rows for its result."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from marketplace import publish
from marketplace.engine.ingest.layout import Layout
from marketplace.errors import QueryTooLarge

ROWS = 500_000


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing cuts tables that are much smaller than those that it would cut."""
    ingest = publish.ingest

    def ingest_and_cut(*arguments: Any, **named: Any) -> Any:
        ingested = ingest(*arguments, **named)
        return Layout(duckdb.connect(), lambda _: None, largest=1).of(ingested, ())

    monkeypatch.setattr(publish, "ingest", ingest_and_cut)


def fetched(tmp_path: Path) -> int:
    """How many files are in the cache."""
    return len(list((tmp_path / "data" / "cache").glob("*.parquet")))


def test_only_the_files_that_may_hold_rows_are_fetched(world, cut, tmp_path: Path) -> None:
    text = "id,area\n" + "".join(f"{n},area {n % 9}\n" for n in range(ROWS))
    published = world.publish(text)
    assert len(published.table.files) > 3
    world.share()
    already = fetched(tmp_path)

    wanted = "SELECT count(*) AS n, min(id) AS least FROM mhclg.homes WHERE id >= 499990"
    assert world.query(wanted) == [{"n": 10, "least": 499_990}]
    assert fetched(tmp_path) == already + 1

    assert world.query("SELECT count(*) AS n FROM mhclg.homes WHERE id < 0") == [{"n": 0}]
    assert fetched(tmp_path) == already + 2

    whole = [{"n": ROWS}]
    assert world.query("SELECT count(*) AS n FROM mhclg.homes") == whole
    assert fetched(tmp_path) == already + len(published.table.files)
    assert world.query(wanted) == [{"n": 10, "least": 499_990}]


def test_a_statement_may_read_more_than_its_limit_where_it_asks_for_less(
    world, cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "id,area\n" + "".join(f"{n},area {n % 9}\n" for n in range(ROWS))
    files = world.publish(text).table.files
    world.share()
    largest = max(file.bytes for file in files)
    monkeypatch.setattr(world.marketplace.querying, "_scan_limit", largest)
    with pytest.raises(QueryTooLarge, match="one query may read"):
        world.query("SELECT count(*) AS n FROM mhclg.homes")
    found = world.query("SELECT area FROM mhclg.homes WHERE id = 499999")
    assert found == [{"area": f"area {(ROWS - 1) % 9}"}]
