"""How long small queries take, one by one.

A query on the smallest table and `SELECT 1` tell what the service adds to in-process on a view map
whose worker is warm. The point query looks up one order by its key. A new view map is one that no
worker is bound to yet: each names another set of tables, and a spare worker has had time to start.
"""

import random
from collections.abc import Iterator
from functools import partial
from itertools import combinations, islice

from figure import Figure
from same import require_same
from sides import HTTP, IN_PROCESS, PROTOCOLS, Side, opened_sides
from turns import in_turns, milliseconds
from world import World

_SMALL = "SELECT n_name FROM {nation} WHERE n_nationkey = 7"
_CONSTANT = "SELECT 1 AS one"
_POINT = "SELECT * FROM {{orders}} WHERE o_orderkey = {key}"
_MAP_TABLES = ("region", "nation", "supplier", "customer", "part", "partsupp")
_NEW_MAPS = 10
_SPARE_SECONDS = 1.0


def measure(world: World) -> list[Figure]:
    """Added at the median on a warm map; a point query's percentiles; a new map's median."""
    plan = world.plan
    with opened_sides(world) as sides:
        return [
            *_added(sides, _CONSTANT, "SELECT 1", plan.samples, world),
            *_added(sides, _SMALL, "small query", plan.samples, world),
            *_points(sides, plan.samples, world),
            *_new_maps(sides, world),
        ]


def _added(
    sides: dict[str, Side], sql: str, name: str, samples: int, world: World
) -> Iterator[Figure]:
    world.say(f"Latency: {name}")
    expected = sides[IN_PROCESS].query(sql)
    for protocol in PROTOCOLS:
        require_same(expected, sides[protocol].query(sql), sql)
    works = {name: partial(side.query, sql) for name, side in sides.items()}
    taken = in_turns(works, samples)
    alone = milliseconds(taken[IN_PROCESS])
    yield Figure(what=f"{name}, p50, {IN_PROCESS}", measured=alone, unit="ms")
    for protocol in PROTOCOLS:
        reach, towards = (6.0, 2.0) if protocol == HTTP else (12.0, 4.0)
        yield Figure(
            what=f"{name}, warm map, added at p50, {protocol}",
            measured=milliseconds(taken[protocol]) - alone,
            unit="ms",
            reach=reach,
            towards=towards,
        )


def _points(sides: dict[str, Side], samples: int, world: World) -> Iterator[Figure]:
    world.say("Latency: point query")
    found = sides[IN_PROCESS].query("SELECT o_orderkey FROM {orders} ORDER BY o_orderkey")
    known = found.column(0).to_pylist()
    keys = random.Random(7).choices(known, k=samples)
    for side in sides.values():
        side.query(_POINT.format(key=known[0]))
    works = {name: partial(_next_point, side, iter(keys)) for name, side in sides.items()}
    taken = in_turns(works, samples)
    for name in sides:
        for percentile in (50, 99):
            measured = milliseconds(taken[name], percentile)
            yield Figure(what=f"point query, p{percentile}, {name}", measured=measured, unit="ms")


def _next_point(side: Side, keys: Iterator[int]) -> None:
    if side.query(_POINT.format(key=next(keys))).num_rows != 1:
        raise SystemExit("A point query did not find its order.")


def _new_maps(sides: dict[str, Side], world: World) -> Iterator[Figure]:
    world.say("Latency: new view maps")
    rounds = min(_NEW_MAPS, world.plan.samples)
    sets = [*combinations(_MAP_TABLES, 4), *combinations(_MAP_TABLES, 5)]
    works = {
        protocol: partial(_next_map, sides[protocol], islice(sets, rounds))
        for protocol in PROTOCOLS
    }
    taken = in_turns(works, rounds, settle=_SPARE_SECONDS)
    for protocol in PROTOCOLS:
        measured = milliseconds(taken[protocol])
        yield Figure(what=f"small query, new map, p50, {protocol}", measured=measured, unit="ms")


def _next_map(side: Side, sets: Iterator[tuple[str, ...]]) -> None:
    counts = ", ".join(
        f"(SELECT count(*) FROM {{{table}}}) AS {table}_rows" for table in next(sets)
    )
    side.query(f"SELECT {counts}")
