"""Many clients who ask small aggregates at the same time, on one view map and on one each.

Each side's clients live in a process of their own (`load.py`), with a thread for each client, so
that what a client costs is paid beside whatever answers it and not in this process. In-process,
that one process is also DuckDB: one instance, a cursor for each thread, and the same number of
threads of DuckDB as a governed query has. Over the wire it is a client that the service competes
with for the same cores: its work (building the request, reading Arrow) is part of what is measured,
as it is for users. The clients are different people, for the service lets one person have only so
many queries at once.

Each side answers for a while before it is measured, DuckDB too: workers copy small tables that are
read often, once, and what is told is the day after that.

Over Flight SQL the reach is held against an ungoverned Flight SQL server (`bare_flight.py`), for the
protocol's client alone takes about as much of the processors as the query does in-process: what
such a server leaves of in-process is told beside it.

On one map all clients read the same table; on many maps each client is in a squad of their own,
whose agreement leaves out another nation, and in-process reads those very extracts.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from figure import Figure
from pyarrow import parquet
from sides import FLIGHT, HTTP, IN_PROCESS
from turns import turn
from world import NATIONS, TPCH, World

from marketplace.client import connect

_AGGREGATE = (
    "SELECT c_mktsegment, count(*) AS customers, sum(c_acctbal) AS balance "
    "FROM {table} GROUP BY c_mktsegment ORDER BY c_mktsegment"
)
_CUSTOMER = f"{TPCH}.customer"
_LOAD = Path(__file__).with_name("load.py")
_BARE_SERVER = Path(__file__).with_name("bare_flight.py")
_BARE = "an ungoverned Flight SQL server"


class Load:
    """A process full of clients, which asks for as long as it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.results = self._answer()

    def per_second(self, seconds: float) -> float:
        """Queries answered a second."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process of the clients ended.")
        return json.loads(line)


@contextmanager
def loading(side: str, clients: list[dict[str, str]]) -> Iterator[Load]:
    """Clients of one side, each with its SQL and what it needs to ask it, warmed up."""
    command = [sys.executable, str(_LOAD), json.dumps({"side": side, "clients": clients})]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Load(process)
        finally:
            process.terminate()


def measure(world: World) -> list[Figure]:
    """Throughput against in-process for each protocol, on one view map and on one for each."""
    one = [str(file) for file in world.released["customer"]]
    count = world.plan.clients
    figures = _measure(world, "1 map", world.tokens.members, [one] * count)
    world.say("Throughput: building extracts")
    extracts = _build_extracts(world)
    return figures + _measure(world, f"{count} maps", world.tokens.scoped, extracts)


def _measure(
    world: World, maps: str, tokens: tuple[str, ...], files: list[list[str]]
) -> list[Figure]:
    world.say(f"Throughput: {world.plan.clients} clients, {maps}")
    governed = _AGGREGATE.format(table=_CUSTOMER)
    per_second: dict[str, list[float]] = {}
    with ExitStack() as stack:
        loads = {IN_PROCESS: stack.enter_context(loading(IN_PROCESS, _local(files)))}
        for side, where in ((HTTP, world.service.url), (FLIGHT, world.service.flight)):
            asked = [{"url": where, "token": token, "sql": governed} for token in tokens]
            loads[side] = stack.enter_context(loading(side, asked))
        bare = stack.enter_context(_bare_server())
        asked = [{"url": bare, "token": "none", **each} for each in _local(files)]
        loads[_BARE] = stack.enter_context(loading(FLIGHT, asked))
        for side, load in loads.items():
            if load.results != loads[IN_PROCESS].results:
                raise SystemExit(f"The aggregates over {side} differ from DuckDB's own.")
        for load in loads.values():
            load.per_second(world.plan.warming)
        for number in range(world.plan.rounds):
            for side in turn(list(loads), number):
                per_second.setdefault(side, []).append(loads[side].per_second(world.plan.seconds))
    return list(_figures(world, maps, {k: statistics.median(v) for k, v in per_second.items()}))


def _figures(world: World, maps: str, measured: dict[str, float]) -> Iterator[Figure]:
    what = f"{world.plan.clients} clients, {maps}"
    alone, bare = measured[IN_PROCESS], measured[_BARE]
    reach = {"reach": 0.6, "towards": 0.9}
    of = "of in-process"
    yield Figure(what=f"{what}, {IN_PROCESS}", measured=alone, unit="queries/s", more=True)
    yield Figure(
        what=f"{what}, {HTTP}", measured=measured[HTTP] / alone, unit=of, more=True, **reach
    )
    yield Figure(what=f"{what}, {FLIGHT}", measured=measured[FLIGHT] / alone, unit=of, more=True)
    yield Figure(what=f"{what}, {_BARE}", measured=bare / alone, unit=of, more=True)
    yield Figure(
        what=f"{what}, {FLIGHT} against {_BARE}",
        measured=measured[FLIGHT] / bare,
        unit="ratio",
        more=True,
        **reach,
    )


@contextmanager
def _bare_server() -> Iterator[str]:
    """Where an ungoverned server listens, for the length of a block."""
    command = [sys.executable, str(_BARE_SERVER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _local(files: list[list[str]]) -> list[dict[str, str]]:
    return [
        {"sql": _AGGREGATE.format(table=f"read_parquet({listed})")} for listed in map(str, files)
    ]


def _build_extracts(world: World) -> list[list[str]]:
    """Let every squad ask once, so that its extract is there; then find which file is whose."""
    before = {file for files in world.released.values() for file in files}
    for token in world.tokens.scoped:
        with connect(world.service.url, token=token) as client:
            client.query(f"SELECT count(*) FROM {_CUSTOMER}").to_arrow()
    made = [file for file in (world.data / "objects").rglob("*.parquet") if file not in before]
    by_nation = dict(filter(None, map(_left_out, made)))
    return [[by_nation[number]] for number in range(len(world.tokens.scoped))]


def _left_out(file: Path) -> tuple[int, str] | None:
    """The nation that an extract of customers lacks, and the extract."""
    if "c_nationkey" not in parquet.read_schema(file).names:
        return None
    held = parquet.read_table(file, columns=["c_nationkey"])["c_nationkey"]
    missing = set(range(NATIONS)) - set(held.unique().to_pylist())
    return (missing.pop(), str(file)) if len(missing) == 1 else None
