"""Workers are killed, readers sleep, callers leave and statements run wild: everybody else is served.

The service runs in this process, so that a test can look at its workers; they are real processes.
"""

import hashlib
import os
import queue
import random
import signal
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as adbc
import pyarrow as pa
import pytest
import urllib3
from adbc_driver_flightsql import DatabaseOptions
from google.protobuf.any_pb2 import Any as Wrapped
from pyarrow import flight

from access_policies.scope import RowsInPlaces
from marketplace import bootstrap
from marketplace.bootstrap import Marketplace
from marketplace.client import Client, MarketplaceProblem, StreamCut
from marketplace.engine.process import ConfinedProcess
from marketplace.engine.query.bound_worker import BoundWorker
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.waiting_line import Turn, WaitingLine
from marketplace.engine.query.worker_pool import WorkerPool
from marketplace.errors import QueryFailed
from marketplace.flight.flight_sql_pb2 import CommandStatementQuery
from marketplace.flight.server import running_flight
from marketplace.settings import read_settings

Acting = Callable[[str], Client]

# One kind of database is enough here: nothing depends on it.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ACCEPTS = (
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.arrow.stream; codecs=lz4",
    "application/vnd.apache.arrow.stream; codecs=zstd",
    "application/vnd.apache.parquet",
    "text/csv",
    "application/json",
    "application/x-ndjson",
)
FLIGHT = "Flight SQL"
SMALL = "SELECT area, households FROM mhclg.homes ORDER BY area"
# Several mebibytes in every format, so that a worker is killed also while it writes.
LARGE = (
    "SELECT area, n, md5(n::VARCHAR) AS text FROM mhclg.homes, unnest(range(40000)) t(n) "
    "ORDER BY area, n"
)
ENDLESS = (
    "SELECT count(*) FROM unnest(range(1000000)) a(x), unnest(range(1000000)) b(y), mhclg.homes"
)
DOES_NOT_HEED = "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000)) FROM mhclg.homes"


@pytest.fixture
def marketplace(
    database_url: str, entered: dict[str, str], tmp_path: Path, clock
) -> Iterator[Marketplace]:
    """Few workers, short deadlines, and room for many calls of one person."""
    settings = read_settings(
        {},
        data=tmp_path / "data",
        database=database_url,
        query_workers=4,
        query_memory=1024**3,
        query_deadline=20.0,
        query_line=300,
        queries_per_person=60,
        queries_at_once=400,
    )
    with bootstrap.opened(settings, clock=clock) as opened:
        yield opened


@pytest.fixture
def shared_world(world: Any) -> Any:
    """A table that the squads of Sheffield and Manchester may read in full."""
    world.publish()
    world.share()
    world.share(to="outsider")
    return world


@pytest.fixture
def location(marketplace: Marketplace) -> Iterator[str]:
    """Where the same marketplace answers over Flight SQL."""
    with running_flight(marketplace) as location:
        yield location


def query_workers() -> list[int]:
    """The processes of query workers that this process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if parent == os.getpid() and b"marketplace.engine.child" in command:
                found += [int(entry.name)] if b"query" in command else []
    return found


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


class TestKilledWorkers:
    QUERIES = 1000
    QUERIES_PER_KILL = 25

    def test_every_client_gets_the_whole_right_result_or_a_clear_error(
        self, shared_world: Any, url: str, location: str
    ) -> None:
        chance = random.Random(20261122)
        asked = [
            (chance.choice((*ACCEPTS, FLIGHT)), LARGE if chance.random() < 0.1 else SMALL)
            for _ in range(self.QUERIES)
        ]
        exits = Exits(url, location)
        token = shared_world.secret("member")
        expected = {question: exits.answer(token, *question) for question in dict.fromkeys(asked)}
        assert set(expected.values()).isdisjoint({"cut", "refused"})
        done = threading.Semaphore(0)
        over = threading.Event()

        def ask(number: int) -> str:
            person = ("member", "outsider")[number % 2]
            try:
                found = exits.answer(shared_world.secret(person), *asked[number])
            finally:
                done.release()
            return "whole" if found == expected[asked[number]] else found

        with ThreadPoolExecutor(9) as threads:
            killed = threads.submit(self._kill, done, over)
            outcomes = Counter(threads.map(ask, range(self.QUERIES)))
            over.set()
            done.release(self.QUERIES_PER_KILL)

        assert killed.result() >= self.QUERIES // self.QUERIES_PER_KILL // 2
        assert outcomes.keys() <= {"whole", "cut", "refused"}
        assert outcomes["whole"] > self.QUERIES * 0.8
        assert exits.answer(token, *asked[0]) == expected[asked[0]]

    def _kill(self, done: threading.Semaphore, over: threading.Event) -> int:
        """Kill one worker for every few queries; how many were."""
        chance = random.Random(3)
        killed = 0
        while not over.is_set():
            for _ in range(self.QUERIES_PER_KILL):
                done.acquire()
            workers = query_workers()
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    killed += 1
        return killed


@dataclass(frozen=True)
class Exits:
    """Where queries are answered: over HTTP and over Flight SQL."""

    url: str
    location: str
    pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=8, retries=False, timeout=60)
    )

    def answer(self, token: str, accept: str, sql: str) -> str:
        """The digest of a whole answer, "cut", or "refused" with a problem that says try again."""
        if accept == FLIGHT:
            return self._over_flight(token, sql)
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        address = f"{self.url}/api/v1/query"
        try:
            answer = self.pool.request("POST", address, headers=headers, json={"sql": sql})
        except urllib3.exceptions.HTTPError:
            return "cut"
        if answer.status == 200:
            return hashlib.sha256(answer.data).hexdigest()
        problem = answer.json()
        assert answer.status == 503, problem
        assert problem["type"] in ("/problems/worker-lost", "/problems/service-busy"), problem
        assert problem["next_step"]
        return "refused"

    def _over_flight(self, token: str, sql: str) -> str:
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
        try:
            with (
                adbc.connect(self.location, db_kwargs=options, autocommit=True) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(sql)
                table = cursor.fetch_arrow_table().combine_chunks()
        except adbc.Error as error:
            return "refused" if "again" in str(error) else f"unclear: {error}"
        written = pa.BufferOutputStream()
        with pa.ipc.new_stream(written, table.schema) as writer:
            writer.write_table(table)
        return hashlib.sha256(written.getvalue()).hexdigest()


class TestSlowReaders:
    READERS = 200
    PEOPLE = 5

    def test_two_hundred_slow_readers_do_not_stop_twenty_honest_ones(
        self, shared_world: Any, url: str, acting: Acting
    ) -> None:
        slow = [token_of(shared_world.marketplace, f"slow{n}") for n in range(self.PEOPLE)]
        honest = acting("member"), acting("outsider")
        expected = honest[0].query(LARGE).to_arrow()
        with ExitStack() as held:
            readers = [
                held.enter_context(opened(url, slow[number % self.PEOPLE]))
                for number in range(self.READERS)
            ]
            self._ask(honest, expected)
            for reader in readers[: 2 * self.PEOPLE]:
                assert reader.recv(1).startswith(b"H")  # these have begun, and read no further
            self._ask(honest, expected)
            for reader in readers[: 2 * self.PEOPLE]:
                reader.recv(1000)

    def test_nor_do_two_hundred_over_flight(
        self, shared_world: Any, location: str, acting: Acting
    ) -> None:
        slow = [token_of(shared_world.marketplace, f"slow{n}") for n in range(self.PEOPLE)]
        honest = acting("member"), acting("outsider")
        expected = honest[0].query(LARGE).to_arrow()
        ticket = {token: flight_ticket(location, token) for token in slow}
        with ThreadPoolExecutor(self.READERS) as threads, narrow_flight(location) as client:
            begun: queue.Queue[Any] = queue.Queue()
            answers = [
                threads.submit(begin_reading, client, ticket[token], token, begun)
                for token in (slow[number % self.PEOPLE] for number in range(self.READERS))
            ]
            held = [begun.get(timeout=60) for _ in range(2 * self.PEOPLE)]
            self._ask(honest, expected)
            over_flight = Exits("", location).answer(shared_world.secret("member"), FLIGHT, LARGE)
            assert over_flight not in ("cut", "refused")
            for answer in answers:
                assert answer.result(timeout=60) in ("begun", "busy")
            held += [begun.get() for _ in range(begun.qsize())]
            for reader in held:
                assert reader.read_chunk().data.num_rows > 0
                reader.cancel()

    def _ask(self, honest: tuple[Client, Client], expected: Any) -> None:
        with ThreadPoolExecutor(2) as threads:
            answers = [
                threads.submit(lambda client=client: client.query(LARGE).to_arrow())
                for _ in range(5)
                for client in honest
            ]
        assert all(answer.result().equals(expected) for answer in answers)


def opened(url: str, token: str, sql: str = LARGE) -> socket.socket:
    """A connection on which a query was sent and nothing is read, with room for little."""
    host, _, port = url.removeprefix("http://").partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect((host, int(port)))
    body = f'{{"sql": "{sql}"}}'.encode()
    connection.sendall(
        f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return connection


def flight_ticket(location: str, token: str) -> flight.Ticket:
    """A ticket for a large result."""
    wrapped = Wrapped()
    wrapped.Pack(CommandStatementQuery(query=LARGE))
    asked = flight.FlightDescriptor.for_command(wrapped.SerializeToString())
    with flight.connect(location) as client:
        return client.get_flight_info(asked, with_token(token)).endpoints[0].ticket


def narrow_flight(location: str) -> flight.FlightClient:
    """A client that takes 64 KiB of each result ahead of whoever reads it, and no more."""
    narrow = [("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0)]
    return flight.connect(location, generic_options=narrow)


def begin_reading(
    client: flight.FlightClient, ticket: flight.Ticket, token: str, begun: "queue.Queue[Any]"
) -> str:
    """Begin a result and read none of its rows."""
    try:
        begun.put(client.do_get(ticket, with_token(token)))
    except flight.FlightUnavailableError:
        return "busy"
    return "begun"


def with_token(token: str) -> flight.FlightCallOptions:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])


def token_of(marketplace: Marketplace, name: str) -> str:
    """The token of one more member of the Sheffield squad."""
    administration, email = marketplace.administration, f"{name}@sheffield.example"
    administration.register_person(name=name, email=email, organisation="sheffield", by="a test")
    administration.add_member(
        project="sheffield_squad",
        email=email,
        first_day=date(2026, 1, 1),
        last_day=None,
        by="a test",
    )
    secret, _ = administration.issue_token(
        email=email,
        project="sheffield_squad",
        expires_at=marketplace.clock() + timedelta(days=1),
        by="a test",
    )
    return secret


@dataclass
class Witness:
    """What was seen of each worker: whom it served, and the files that it was confined to."""

    served: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    files: dict[int, list[tuple[Path, ...]]] = field(default_factory=lambda: defaultdict(list))
    seen_open: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def look(self, pid: int) -> None:
        """See which files of data the process has open or mapped at this moment."""
        process = Path(f"/proc/{pid}")
        with suppress(OSError):
            self.seen_open[pid] |= {str(link.readlink()) for link in (process / "fd").iterdir()}
            maps = (process / "maps").read_text().splitlines()
            self.seen_open[pid] |= {line.split(maxsplit=5)[-1] for line in maps}


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Witness:
    """Notes every worker that is confined or taken."""
    witness = Witness()
    confine, take = ConfinedProcess.confine, WorkerPool.take

    def noted_confine(process: ConfinedProcess, **paths: Any) -> str:
        witness.files[process.pid].append(tuple(paths.get("read", ())))
        return confine(process, **paths)

    def noted_take(pool: WorkerPool, views: Any, caller: str, **how: Any) -> BoundWorker:
        worker = take(pool, views, caller, **how)
        witness.served[worker.pid].add(caller)
        witness.look(worker.pid)
        return worker

    monkeypatch.setattr(ConfinedProcess, "confine", noted_confine)
    monkeypatch.setattr(WorkerPool, "take", noted_take)
    return witness


def test_two_callers_whose_scopes_differ_never_share_a_worker(
    world: Any, witness: Witness, acting: Acting
) -> None:
    world.publish()
    world.share(rows=RowsInPlaces(places=("Sheffield",)))
    world.share(rows=RowsInPlaces(places=("Manchester",)), to="outsider")
    own = {"member": "Sheffield", "outsider": "Manchester"}
    clients = {name: acting(name) for name in own}

    def ask(number: int) -> tuple[str, list[str]]:
        name = ("member", "outsider")[number % 2]
        sql = f"SELECT area, {number} AS n FROM mhclg.homes"
        return name, clients[name].query(sql).to_arrow().column("area").to_pylist()

    with ThreadPoolExecutor(4) as threads:
        for name, areas in threads.map(ask, range(120)):
            assert areas == [own[name]]

    people = {world.principal(name).person_id for name in own}
    assert {frozenset(callers) for callers in witness.served.values()} == {
        frozenset({person}) for person in people
    }
    files_of = {
        person: {file for pid in served_by(witness, person) for file in only(witness.files[pid])}
        for person in people
    }
    assert all(len(files) == 1 for files in files_of.values())
    assert len(set.union(*files_of.values())) == 2
    for name, areas in own.items():
        person = world.principal(name).person_id
        (other,) = set.union(*files_of.values()) - files_of[person]
        for pid in served_by(witness, person):
            assert str(other) not in witness.seen_open[pid]
        inside = Inside(world.marketplace, files_of[person])
        assert inside.ask("SELECT DISTINCT view_name FROM duckdb_views() WHERE NOT internal") == [
            "homes"
        ]
        assert inside.ask("SELECT area FROM mhclg.homes") == [areas]
        assert inside.ask(f"SELECT count(*) FROM read_parquet('{other}')") == []


def served_by(witness: Witness, person: str) -> list[int]:
    return [pid for pid, callers in witness.served.items() if person in callers]


def only(files: list[tuple[Path, ...]]) -> tuple[Path, ...]:
    """What a worker was confined to: once in its life."""
    (once,) = files
    return once


class Inside:
    """The worker on those files, asked behind the statement check, as if that had a hole."""

    def __init__(self, marketplace: Marketplace, files: set[Path]) -> None:
        self._workers = marketplace.workers
        idle = self._workers._pool._idle
        self._views = next(worker.views for worker in idle if files_in(worker) == files)

    def ask(self, sql: str) -> list[str]:
        """The first column of the answer; nothing where the worker could not give one."""
        with suppress(QueryFailed):
            answer = b"".join(self._workers.run(self._views, sql, Encoding(OutputFormat.CSV)))
            return [row.strip('"') for row in answer.decode().splitlines()[1:]]
        return []


def files_in(worker: BoundWorker) -> set[Path]:
    return {file for table in worker.views for file in getattr(table, "files", ())}


class TestLeaving:
    """A caller who leaves stops the work, wherever it is."""

    @pytest.fixture
    def begun(self, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
        """Counts the statements that have come to a worker."""
        begun = threading.Semaphore(0)
        run = BoundWorker.run

        def noted(worker: BoundWorker, *arguments: Any) -> Any:
            call = run(worker, *arguments)
            begun.release()
            return call

        monkeypatch.setattr(BoundWorker, "run", noted)
        return begun

    @pytest.fixture
    def given_back(self, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
        """Counts the workers whose work has stopped."""
        given_back = threading.Semaphore(0)
        give_back = WorkerPool.give_back

        def noted(pool: WorkerPool, worker: BoundWorker, *, fit: bool) -> None:
            give_back(pool, worker, fit=fit)
            given_back.release()

        monkeypatch.setattr(WorkerPool, "give_back", noted)
        return given_back

    @pytest.mark.parametrize("sql", [ENDLESS, DOES_NOT_HEED])
    def test_a_query_that_runs_is_stopped_and_its_worker_idle_or_gone(
        self,
        shared_world: Any,
        url: str,
        begun: threading.Semaphore,
        given_back: threading.Semaphore,
        sql: str,
    ) -> None:
        with opened(url, shared_world.secret("member"), sql):
            assert begun.acquire(timeout=30)
            pool = shared_world.marketplace.workers._pool
            (pid,) = {worker.pid for worker in pool._busy}
        assert given_back.acquire(timeout=10)
        assert pool._busy == {}
        assert not is_running(pid) or pid in {worker.pid for worker in pool._idle}

    def test_a_query_that_waits_for_a_worker_leaves_the_line(
        self,
        shared_world: Any,
        url: str,
        begun: threading.Semaphore,
        given_back: threading.Semaphore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        waiting, left = threading.Semaphore(0), threading.Semaphore(0)
        join, leave = WaitingLine.join, WaitingLine.leave

        def noted_join(line: WaitingLine, caller: str) -> Turn:
            waiting.release()
            return join(line, caller)

        def noted_leave(line: WaitingLine, turn: Turn) -> None:
            leave(line, turn)
            left.release()

        monkeypatch.setattr(WaitingLine, "join", noted_join)
        monkeypatch.setattr(WaitingLine, "leave", noted_leave)
        token = shared_world.secret("member")
        with opened(url, token, ENDLESS), opened(url, token, ENDLESS):
            for _ in range(2):  # as many as one person's half of the places
                assert begun.acquire(timeout=30)
                assert waiting.acquire(timeout=30)
                assert left.acquire(timeout=30)
            with opened(url, token, ENDLESS):
                assert waiting.acquire(timeout=30)
            assert left.acquire(timeout=10)
            assert not begun.acquire(blocking=False)


HOSTILE = (
    "SELECT length(repeat('x', 2000000000)) FROM mhclg.homes",
    "SELECT length(lpad('x', 2000000000, 'y')) FROM mhclg.homes",
    "SELECT len(range(1000000000)) FROM mhclg.homes",
    DOES_NOT_HEED,
    "SELECT list_reduce(range(30000000), lambda a, b: a + b) FROM mhclg.homes",
    ENDLESS,
    (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000000) "
        "SELECT count(*) FROM r, mhclg.homes"
    ),
    "SELECT * FROM mhclg.homes, unnest(range(30000000)) t(n) ORDER BY hash(n), area",
)


def test_hostile_queries_end_with_typed_errors_while_honest_ones_are_answered(
    shared_world: Any, acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    querying = shared_world.marketplace.querying
    monkeypatch.setattr(querying, "_deadline", 3.0)
    hostile, honest = acting("outsider"), acting("member")
    expected = [{"area": "Liverpool", "households": 1200}]

    def attack(sql: str) -> str:
        try:
            hostile.query(sql).to_arrow()
        except (MarketplaceProblem, StreamCut) as ended:
            return getattr(ended, "type", "cut")
        return "answered"

    with ThreadPoolExecutor(4) as threads:
        attacks = [threads.submit(attack, sql) for sql in HOSTILE]
        answered = 0
        while answered < 20 or not all(one.done() for one in attacks):
            assert honest.query(f"{SMALL} LIMIT 1").to_arrow().to_pylist() == expected
            answered += 1
    typed = {
        "/problems/query-too-large",
        "/problems/query-timed-out",
        "/problems/query-failed",
        "/problems/statement-refused",
        "/problems/service-busy",
    }
    assert {one.result() for one in attacks} <= typed
    assert honest.health().status == "ok"
