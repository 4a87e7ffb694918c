"""`make bench`: the marketplace beside DuckDB itself, in one run on the same files.

Each figure is a median of rounds in which the two take turns, so that a busy machine slows both.
"In-process" is DuckDB of the same version reading the same Parquet in this process, with no server
and no policy. Writes build/bench.json and prints the table.
"""

import argparse
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, sleep

import duckdb
import pyarrow as pa
from bench_world import build_world
from rich.console import Console
from rich.table import Table

from marketplace.client import Client, ClientError, connect

BUILD = Path(__file__).parents[2] / "build"
ADDRESS = "bench.payments"

# What squads ask of a payments table: totals, a top list, a month by month view, one supplier.
QUERIES = {
    "total": "SELECT count(*) AS n, sum(net_amount) AS total FROM {table}",
    "by service": "SELECT service, count(*) AS n, sum(net_amount) AS total FROM {table} "
    "GROUP BY service ORDER BY service",
    "by month": "SELECT date_trunc('month', paid_on) AS month, kind, sum(net_amount) AS total "
    "FROM {table} GROUP BY ALL ORDER BY ALL",
    "largest": "SELECT * FROM {table} ORDER BY net_amount DESC, payment_id LIMIT 100",
    "one supplier": "SELECT * FROM {table} WHERE supplier_id = 4711 ORDER BY payment_id",
    "share": "SELECT *, net_amount / sum(net_amount) OVER (PARTITION BY service) AS share "
    "FROM {table} WHERE paid_on >= DATE '2024-11-01' ORDER BY payment_id",
}


@dataclass(frozen=True)
class Figure:
    """One measured number beside what it should reach and what it should move towards."""

    value: float
    reach: float
    towards: float
    unit: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows of the payments table")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = BUILD / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    console = Console()
    with console.status("generating the payments table"):
        source = generate(folder / "payments.csv", arguments.rows)
    figures: dict[str, Figure] = {}
    world = build_world(folder / "data")
    with serving(folder / "data") as (url, server), connect(url, token=world.publisher) as client:
        with console.status("publishing, against DuckDB's own COPY"):
            figures |= measure_publish(client, source, folder, server, arguments.rounds)
        release = released_file(folder / "data")
        with console.status("querying, against DuckDB in this process"):
            figures |= measure_queries(client, release, arguments.rounds)
    show(console, figures)
    (BUILD / "bench.json").write_text(
        json.dumps({name: asdict(figure) for name, figure in figures.items()}, indent=2) + "\n"
    )


def generate(path: Path, rows: int) -> Path:
    """A payments table like those that councils publish, the same at every run."""
    duckdb.sql(
        f"""
        COPY (
            SELECT n AS payment_id,
                   DATE '2020-01-01' + CAST(hash(n, 1) % 1800 AS INTEGER) AS paid_on,
                   'Service ' || hash(n, 2) % 40 AS service,
                   CASE hash(n, 3) % 3 WHEN 0 THEN 'Capital' ELSE 'Revenue' END AS kind,
                   CAST(hash(n, 4) % 50000 AS BIGINT) AS supplier_id,
                   'Purchase order ' || hash(n, 5) % 100000 AS description,
                   CAST(hash(n, 6) % 100000000 / 100 AS DECIMAL(18, 2)) AS net_amount,
                   CAST(hash(n, 6) % 100000000 / 500 AS DECIMAL(18, 2)) AS vat_amount
            FROM range({rows}) numbers(n)
        ) TO '{path}' (HEADER)
        """
    )
    return path


@contextmanager
def serving(data: Path) -> Iterator[tuple[str, int]]:
    """The service in a process of its own; gives its address and process id."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).with_name("marketplace"), "serve"]
    process = subprocess.Popen(
        [*command, "--data", data, "--port", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        wait_until_healthy(url, process)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    with connect(url) as client:
        for _ in range(300):
            if process.poll() is not None:
                raise SystemExit("the service did not start")
            with suppress(ClientError):
                client.health()
                return
            sleep(0.1)
    raise SystemExit("the service does not answer")


def measure_publish(
    client: Client, source: Path, folder: Path, server: int, rounds: int
) -> dict[str, Figure]:
    """Publish under a new address each round, beside `COPY` of the same file."""
    copies, publishes = [], []
    with watching_memory(server) as peak:
        for number in range(rounds):
            copies.append(timed(lambda: copy_with_duckdb(source, folder / "copied.parquet")))
            address = ADDRESS if number == rounds - 1 else f"{ADDRESS}_{number}"
            publishes.append(timed(lambda address=address: client.publish(source, address)))
    ratio = statistics.median(copies) / statistics.median(publishes)
    megabytes = source.stat().st_size / 1e6 / statistics.median(publishes)
    return {
        "publish: speed against COPY": Figure(ratio, 0.5, 0.8, "ratio"),
        "publish: CSV read": Figure(megabytes, 0, 0, "MB/s"),
        "publish: peak memory of service and workers": Figure(peak[0] / 1e9, 1.0, 0.5, "GB"),
    }


def copy_with_duckdb(source: Path, target: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(
            f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (COMPRESSION zstd)"
        )


def measure_queries(client: Client, release: Path, rounds: int) -> dict[str, Figure]:
    """The same SQL, governed over HTTP and in-process, every result compared."""
    local = duckdb.connect()
    local.execute("SET threads = 2")
    local.execute(f"CREATE VIEW payments AS SELECT * FROM read_parquet('{release}')")

    def in_process(sql: str) -> pa.Table:
        return local.sql(sql.format(table="payments")).to_arrow_table()

    def governed(sql: str) -> pa.Table:
        return client.query(sql.format(table=ADDRESS)).to_arrow()

    ratios = {name: compare(in_process, governed, sql, rounds) for name, sql in QUERIES.items()}
    pull = compare(in_process, governed, "SELECT * FROM {table}", rounds)
    return {
        "query: geometric mean of ratios to in-process": Figure(
            math.exp(statistics.fmean(map(math.log, ratios.values()))), 1.15, 1.03, "ratio"
        ),
        **{f"query: {name}": Figure(ratio, 0, 0, "ratio") for name, ratio in ratios.items()},
        "pull: whole table, HTTP": Figure(pull, 1.6, 1.1, "ratio"),
        "small query: added at the median": Figure(
            added_latency(in_process, governed, rounds * 20), 6.0, 2.0, "ms"
        ),
    }


def compare(
    in_process: Callable[[str], pa.Table],
    governed: Callable[[str], pa.Table],
    sql: str,
    rounds: int,
) -> float:
    """Median time governed over median time in-process; raises where the results differ."""
    expected, found = in_process(sql), governed(sql)
    if not same(expected, found):
        raise SystemExit(f"the governed result differs: {sql}")
    locals_, remotes = [], []
    for _ in range(rounds):
        locals_.append(timed(lambda: in_process(sql)))
        remotes.append(timed(lambda: governed(sql)))
    return statistics.median(remotes) / statistics.median(locals_)


def same(expected: pa.Table, found: pa.Table) -> bool:
    """Equal in every value, in any order of rows; floats to a relative 1e-9."""
    keys = [(name, "ascending") for name in expected.column_names]
    one, other = expected.sort_by(keys), found.cast(expected.schema).sort_by(keys)
    if one.num_rows != other.num_rows or one.column_names != other.column_names:
        return False
    return all(
        close(one[name], other[name])
        if pa.types.is_floating(one[name].type)
        else one[name].equals(other[name])
        for name in one.column_names
    )


def close(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return all(a == b or math.isclose(a, b, rel_tol=1e-9) for a, b in pairs)


def added_latency(
    in_process: Callable[[str], pa.Table], governed: Callable[[str], pa.Table], rounds: int
) -> float:
    """Milliseconds that the marketplace adds to the smallest query, at the median."""
    sql = "SELECT 1 AS one FROM {table} LIMIT 1"
    governed(sql)
    alone, through = [], []
    for _ in range(rounds):
        alone.append(timed(lambda: in_process(sql)))
        through.append(timed(lambda: governed(sql)))
    return (statistics.median(through) - statistics.median(alone)) * 1000


def timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def released_file(data: Path) -> Path:
    """The Parquet that the newest release is served from."""
    files = list((data / "objects").rglob("*.parquet"))
    return max(files, key=lambda path: path.stat().st_mtime)


@contextmanager
def watching_memory(root: int) -> Iterator[list[int]]:
    """The largest sum of resident bytes of a process and its descendants while the block runs."""
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], sum(map(resident, family(root))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def family(root: int) -> Iterator[int]:
    """A process and all that descend from it; those that end meanwhile are left out."""
    yield root
    try:
        lists = [task / "children" for task in Path(f"/proc/{root}/task").iterdir()]
        children = {int(child) for listed in lists for child in listed.read_text().split()}
    except OSError:
        return
    for child in children:
        yield from family(child)


def resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def show(console: Console, figures: dict[str, Figure]) -> None:
    table = Table("what", "measured", "reach", "towards", "", title="The marketplace beside DuckDB")
    for name, figure in figures.items():
        aims = (f"{aim:g}" if aim else "" for aim in (figure.reach, figure.towards))
        table.add_row(name, f"{figure.value:.3g}", *aims, figure.unit)
    console.print(table)


if __name__ == "__main__":
    main()
