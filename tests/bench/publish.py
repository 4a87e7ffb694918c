"""A CSV file becomes a committed release, beside DuckDB's own COPY of it to Parquet."""

import statistics
from collections.abc import Callable
from itertools import count
from pathlib import Path

from data import generate_payments
from figure import Figure
from memory import memory_figures, watching_memory
from sides import open_duckdb
from turns import in_turns
from world import ORGANISATION, World

from marketplace.client import Client, connect


def measure(world: World) -> list[Figure]:
    """Speed in terms of COPY's, and how much memory the service and its workers took."""
    world.say("Publishing a CSV file, against COPY")
    source = generate_payments(world.folder.parent, world.plan.payments)
    return _measure(world, source, world.plan.rounds, "publish")


def measure_large(world: World) -> list[Figure]:
    """The same with one file of 5 GB, once: it takes minutes, and 15 GB of disk meanwhile."""
    world.say("Generating a large CSV file")
    source = generate_payments(world.folder, world.plan.large_payments)
    world.say("Publishing a large CSV file, against COPY")
    try:
        return _measure(world, source, 1, "large publish")
    finally:
        source.unlink()


def _measure(world: World, source: Path, rounds: int, part: str) -> list[Figure]:
    with (
        connect(world.url, token=world.tokens.publisher) as client,
        watching_memory(world.service.pid) as peak,
    ):
        works: dict[str, Callable[[], object]] = {
            "copy": lambda: _copy(source, world.folder / "copied.parquet"),
            "publish": _publishing(client, source, part.replace(" ", "_")),
        }
        taken = in_turns(works, rounds)
    publish = statistics.median(taken["publish"])
    return [
        Figure(
            what=f"{part} of a CSV file, speed against COPY",
            measured=statistics.median(taken["copy"]) / publish,
            unit="ratio",
            reach=0.5,
            towards=0.8,
            more=True,
        ),
        Figure(
            what=f"{part}, CSV read",
            measured=source.stat().st_size / 1e6 / publish,
            unit="MB/s",
            more=True,
        ),
        *memory_figures(part, peak, reach=1.0, towards=0.5),
    ]


def _publishing(client: Client, source: Path, name: str) -> Callable[[], object]:
    """Each time under a new address, for a release that changes nothing is refused."""
    numbers = count(1)
    return lambda: client.publish(source, f"{ORGANISATION}.{name}_{next(numbers)}")


def _copy(source: Path, target: Path) -> None:
    with open_duckdb() as connection:
        connection.execute(f"COPY (FROM read_csv('{source}')) TO '{target}' (COMPRESSION zstd)")
