"""Memory is bounded, whatever the size of a file; what takes more is killed, so these are proof.

`tests/bench/ingest_speed.py` measures the peak on files of gigabytes.
"""

from pathlib import Path

import duckdb
import pytest

from marketplace.engine.ingest.ingest import IngestOptions, ingest
from marketplace.engine.limits import Limits

# Narrow rows; long rows with line ends and quotes in their cells, of which DuckDB holds 2,048 in
# each of its vectors.
TABLES = {
    "narrow": (
        "SELECT i AS id, 'E0' || (6000000 + hash(i) % 330)::VARCHAR AS area_code, "
        "(hash(i + 1) % 1000000 / 100)::DECIMAL(18,2) AS amount, md5(i::VARCHAR) AS supplier, "
        "repeat('words ', 8) AS note FROM range(2_500_000) t(i)"
    ),
    "long": (
        "SELECT i AS id, repeat('say \"' || md5(i::VARCHAR) || '\"' || chr(10), 600) AS note "
        "FROM range(10_000) t(i)"
    ),
}


@pytest.mark.parametrize(("kind", "mebibytes"), [("narrow", 512), ("long", 1024)])
def test_a_large_file_is_read_whole_within_its_memory(
    tmp_path: Path, kind: str, mebibytes: int
) -> None:
    source, into = tmp_path / "sent.csv", tmp_path / "into"
    into.mkdir()
    connection = duckdb.connect(config={"threads": 2})
    connection.execute(f"CREATE VIEW sent AS {TABLES[kind]}")
    connection.execute(f"COPY sent TO '{source}' (HEADER)")
    assert source.stat().st_size > 240_000_000

    ingested = ingest(
        source,
        name=source.name,
        into=into,
        contract=None,
        options=IngestOptions(),
        limits=Limits(memory=mebibytes * 1024**2, deadline=300),
        progress=lambda _: None,
    )

    counted = connection.execute(
        f"SELECT count(*), count_if(a IS DISTINCT FROM b) FROM (FROM sent SELECT hash(COLUMNS(*))) a "
        f"POSITIONAL JOIN (FROM '{ingested.files[0].path}' SELECT hash(COLUMNS(*))) b"
    ).fetchall()
    assert counted == [(ingested.rows, 0)]
