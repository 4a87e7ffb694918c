"""How long honest small queries take while somebody else keeps the service busy with hostile ones.

The hostile caller sends, from a process with several threads, statements that want all of the processors
or all of the memory, some of which DuckDB does not interrupt; how each of them ends is not looked
at. The honest caller asks one small query after the other, first alone, then beside them. The
figure is how the 95th percentile grew; the query looks at one small table, so that what is measured
is the service and not how two cores are shared by two scans.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from time import sleep

from figure import Figure
from turns import milliseconds, timed
from world import TPCH, World

from marketplace.client import Client, ClientError, connect

_HONEST = f"SELECT n_name FROM {TPCH}.nation WHERE n_nationkey = 7"
_HOSTILE = (
    "SELECT length(repeat('x', 2000000000)) AS size",
    f"SELECT count(*) AS pairs FROM {TPCH}.lineitem a, {TPCH}.lineitem b",
    "SELECT sum(sqrt(n)) AS total FROM range(10000000000) t(n)",
)
_HEAD_START = 3.0
_PAUSE = 0.05  # for a refusal may come at once


def measure(world: World) -> list[Figure]:
    """The 95th percentile beside hostile queries, in terms of the one alone."""
    samples = world.plan.samples
    with connect(world.url, token=world.members[0]) as client:

        def ask() -> None:
            client.query(_HONEST).to_arrow()

        ask()
        world.say("Hostile neighbour: alone")
        alone = [timed(ask) for _ in range(samples)]
        world.say("Hostile neighbour: beside it")
        with _hostile(world):
            sleep(_HEAD_START)
            beside = [timed(ask) for _ in range(samples)]
    return [
        Figure(what="small query, p95, alone", measured=milliseconds(alone, 95), unit="ms"),
        Figure(
            what="small query beside a hostile neighbour, p95 against alone",
            measured=milliseconds(beside, 95) / milliseconds(alone, 95),
            unit="ratio",
            reach=2.0,
        ),
    ]


@contextmanager
def _hostile(world: World) -> Iterator[None]:
    """Somebody else's process that sends them until the block ends, and then is gone."""
    spawning = multiprocessing.get_context("spawn")
    process = spawning.Process(target=_attack, args=(world.url, world.outsider))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _attack(url: str, token: str) -> None:
    """Send each hostile statement again and again."""
    with connect(url, token=token) as client, ThreadPoolExecutor(len(_HOSTILE)) as threads:
        for sql in _HOSTILE:
            threads.submit(_repeat, client, sql)


def _repeat(client: Client, sql: str) -> None:
    while True:
        with suppress(ClientError):
            client.query(sql).to_arrow()
        sleep(_PAUSE)
