"""TPC-H's 22 queries with the specification's validation parameters, and the pull of `lineitem`.

Each round goes through all queries in their order, and at each query the sides take turns, so the
service has as many view maps on its hands as the queries name (16). A first pass, which is not
timed, compares every value with in-process.
"""

import math
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from figure import Figure
from memory import memory_figures, watching_memory
from same import require_same
from sides import FLIGHT, HTTP, IN_PROCESS, PROTOCOLS, Side, opened_sides
from turns import Seconds, in_turns, ratio, timed, turn
from world import World

_QUERIES = Path(__file__).with_suffix("")
_PULL = "SELECT * FROM {lineitem}"
_PULL_REACH = {HTTP: 1.6, FLIGHT: 1.9}


def measure_queries(world: World) -> list[Figure]:
    """The geometric mean of ratios to in-process for each protocol, and memory meanwhile."""
    queries = read_queries(world.plan.scale)
    with opened_sides(world) as sides, watching_memory(world.service.pid) as peak:
        for name, sql in queries.items():
            world.say(f"TPC-H: comparing {name}")
            _compare(sides, sql)
        taken = _rounds(world, sides, queries)
    figures = []
    for protocol in PROTOCOLS:
        ratios = {name: ratio(taken[name][protocol], taken[name][IN_PROCESS]) for name in queries}
        mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
        what = f"TPC-H, geometric mean of ratios, {protocol}"
        figures.append(Figure(what=what, measured=mean, unit="ratio", reach=1.15, towards=1.03))
        figures += [
            Figure(what=f"TPC-H {name}, {protocol}", measured=value, unit="ratio", detail=True)
            for name, value in ratios.items()
        ]
    for side in sides:
        total = sum(statistics.median(taken[name][side]) for name in queries)
        what = f"TPC-H, 22 queries, {side}"
        figures.append(Figure(what=what, measured=total, unit="s"))
    return [*figures, *memory_figures("TPC-H", peak)]


def measure_pull(world: World) -> list[Figure]:
    """All of `lineitem` to an Arrow table in the client."""
    with opened_sides(world) as sides:
        world.say("Pulling lineitem: comparing")
        _compare(sides, _PULL)
        world.say("Pulling lineitem")
        works = {name: partial(side.query, _PULL) for name, side in sides.items()}
        taken = in_turns(works, world.plan.rounds)
    seconds = statistics.median(taken[IN_PROCESS])
    return [
        Figure(what=f"pull of lineitem, {IN_PROCESS}", measured=seconds, unit="s"),
        *(
            Figure(
                what=f"pull of lineitem, {protocol}",
                measured=ratio(taken[protocol], taken[IN_PROCESS]),
                unit="ratio",
                reach=_PULL_REACH[protocol],
                towards=1.1,
            )
            for protocol in PROTOCOLS
        ),
    ]


def read_queries(scale: float) -> dict[str, str]:
    """The queries by name, with their tables as `{lineitem}` and so on."""
    fraction = f"{0.0001 / scale:.10f}"  # of query 11, which the specification ties to the scale
    return {
        path.stem: path.read_text().replace("{fraction}", fraction)
        for path in sorted(_QUERIES.glob("q*.sql"))
    }


def _compare(sides: Mapping[str, Side], sql: str) -> None:
    expected = sides[IN_PROCESS].query(sql)
    for protocol in PROTOCOLS:
        require_same(expected, sides[protocol].query(sql), sql)


def _rounds(
    world: World, sides: Mapping[str, Side], queries: Mapping[str, str]
) -> dict[str, dict[str, Seconds]]:
    taken: dict[str, dict[str, Seconds]] = {name: {side: [] for side in sides} for name in queries}
    for number in range(world.plan.rounds):
        world.say(f"TPC-H: round {number + 1} of {world.plan.rounds}")
        for place, (name, sql) in enumerate(queries.items()):
            for side in turn(list(sides), number + place):
                taken[name][side].append(timed(partial(sides[side].query, sql)))
    return taken
