"""How fast a CSV file becomes release files, beside DuckDB's own COPY of it, and in how much memory.

    python tests/bench/ingest_speed.py [--megabytes 2000] [--rounds 3] [--kind plain|quoted|late]

The two take turns, each in a process of its own with two threads; medians are quoted. Memory is
the peak of the confined process that reads the file, as the kernel counts it.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import threading
from pathlib import Path
from time import perf_counter, sleep

import duckdb

from marketplace.engine.ingest.ingest import IngestOptions, ingest
from marketplace.engine.limits import Limits

_BYTES_PER_ROW = 159
# `quoted` has line ends within cells; `late` a last value that changes a type inferred before.
_PURPOSE = {
    "plain": "' services for the district'",
    "quoted": "' services' || chr(10) || 'for the district'",
    "late": "' services for the district'",
}


def generate(path: Path, megabytes: int, kind: str) -> None:
    """Write payments such as councils publish, about `megabytes` of them."""
    rows = megabytes * 1_000_000 // _BYTES_PER_ROW
    number = f"CASE WHEN i = {rows - 1} THEN '1.5' ELSE i::VARCHAR END" if kind == "late" else "i"
    duckdb.execute(
        f"""COPY (SELECT {number} AS id, 'E0' || (6000000 + hash(i) % 330)::VARCHAR AS area_code,
        DATE '2010-01-01' + (hash(i + 7) % 5000)::INT AS paid_on,
        ((hash(i + 1) % 10000000) / 100)::DECIMAL(18,2) AS net_amount,
        'Supplier ' || (hash(i + 2) % 20000)::VARCHAR || ', Ltd' AS supplier,
        md5((hash(i + 3) % 100000)::VARCHAR) || {_PURPOSE[kind]} AS purpose,
        hash(i + 4) % 2 = 0 AS is_capital, (hash(i + 5) % 1000000) / 7.0 AS ratio,
        'Adult Social Care' AS area FROM range({rows}) t(i)) TO '{path}' (HEADER)"""
    )


def copy(source: Path, into: Path) -> None:
    """What DuckDB does by itself: sniff, read, write zstd Parquet."""
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET enable_progress_bar = false")
    connection.execute(
        f"COPY (FROM read_csv('{source}')) TO '{into / 'copy.parquet'}' "
        "(FORMAT parquet, COMPRESSION zstd)"
    )


def publish(source: Path, into: Path) -> None:
    """What the marketplace does: check, type, verify every value, write, digest, confined."""
    ingest(
        source,
        name=source.name,
        into=into,
        contract=None,
        options=IngestOptions(),
        limits=Limits(memory=1024**3, deadline=3600),
        progress=lambda _: None,
    )


def resident(root: int) -> int:
    """Bytes that a process and its children hold now."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if int(fields["PPid"]) == root and "VmHWM" in fields:
            total = max(total, int(fields["VmHWM"].split()[0]) * 1024)
    return total


def measured(work: str, source: Path) -> tuple[float, int]:
    """Seconds, and the peak memory of the process or of its child."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        process = multiprocessing.Process(target=globals()[work], args=(source, Path(folder)))
        peak = 0
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.is_set():
                peak = max(peak, resident(process.pid or 0))
                sleep(0.02)

        began = perf_counter()
        process.start()
        watcher = threading.Thread(target=watch)
        watcher.start()
        process.join()
        seconds = perf_counter() - began
        ended.set()
        watcher.join()
        if process.exitcode:
            raise SystemExit(f"{work} failed")
        return seconds, peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=sorted(_PURPOSE), default="plain")
    arguments = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "payments.csv"
        generate(source, arguments.megabytes, arguments.kind)
        size = source.stat().st_size
        copies, publishes, peaks = [], [], []
        for _ in range(arguments.rounds):
            copies.append(measured("copy", source)[0])
            seconds, peak = measured("publish", source)
            publishes.append(seconds)
            peaks.append(peak)
        ratio = statistics.median(a / b for a, b in zip(copies, publishes, strict=True))
        print(
            f"{size / 1e6:,.0f} MB {arguments.kind}: COPY {statistics.median(copies):.1f} s, "
            f"ingest {statistics.median(publishes):.1f} s, {ratio:.2f} of COPY's speed, "
            f"peak {max(peaks) / 1024**2:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
