"""What deciding and recording a read costs by itself, on SQLite as the service has it by default.

A read is a permit that is issued, which is durable before it is given, and closed. It runs in this process, on a copy of the service's database.
"""

import sqlite3
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from figure import Figure
from turns import milliseconds, timed
from world import TPCH, World

from access_policies.decision_point import DecisionPoint
from marketplace.audit.recorder import Recorder
from marketplace.clock import system_clock
from marketplace.database import Database, open_database
from marketplace.engine.query.statement import Statement
from marketplace.identity.tokens import authenticate
from marketplace.query.permits import Permits

_CALLERS = 64
_READS_OF_A_SAMPLE = 10


def measure(world: World) -> list[Figure]:
    """Milliseconds one by one, and reads a second with many callers."""
    world.say("Decision and audit alone")
    database = _copied(world.data / "marketplace.db", world.folder / "decisions.db")
    try:
        return _measure(world, database)
    finally:
        database.close()


def _measure(world: World, database: Database) -> list[Figure]:
    recorder = Recorder(database, system_clock)
    permits = Permits(
        database=database, recorder=recorder, decision_point=DecisionPoint(), clock=system_clock
    )
    with database.reading() as connection:
        principal = authenticate(connection, world.members[0], now=system_clock())
    tables = frozenset({(*TPCH.split("."), "nation")})
    statement = Statement(sql=f"SELECT count(*) FROM {TPCH}.nation", tables=tables)

    def read() -> None:
        permit = permits.issue(principal, statement)
        permits.close(permit, rows=1, sent=100, outcome="complete")

    read()
    samples = world.plan.samples
    alone = milliseconds([timed(read) for _ in range(samples)])
    together = statistics.median(
        _per_second(read, recorder, samples) for _ in range(world.plan.rounds)
    )
    return [
        Figure(what="decision and audit of a read, one by one", measured=alone, unit="ms"),
        Figure(
            what=f"decision and audit, {_CALLERS} callers",
            measured=together,
            unit="reads/s",
            more=True,
        ),
    ]


def _per_second(read: Callable[[], None], recorder: Recorder, samples: int) -> float:
    """Reads of many callers at the same time, until everything that they left is durable."""
    count = samples * _READS_OF_A_SAMPLE

    def work() -> None:
        with ThreadPoolExecutor(_CALLERS) as callers:
            list(callers.map(lambda _: read(), range(count)))
        recorder.flush()

    return count / timed(work)


def _copied(source: Path, target: Path) -> Database:
    with (
        closing(sqlite3.connect(source)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
    return open_database(f"sqlite:///{target}")
