"""How long a worker goes on with a query whose caller has left.

A statement that would run for hours is asked; once a worker has taken some processor time for it,
the caller closes the connection (HTTP) or cancels (Flight SQL). What is measured is the time from
there to the last moment at which any query worker was still taking processor time.
"""

import json
import socket
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from time import perf_counter, sleep
from urllib.parse import urlsplit

from adbc_driver_flightsql import dbapi
from figure import Figure
from processes import family
from sides import FLIGHT, HTTP, connect_flight
from world import TPCH, World

_ENDLESS = f"SELECT count(*) FROM {TPCH}.lineitem a, {TPCH}.lineitem b, {TPCH}.lineitem c"
_BUSY = 0.2  # processor seconds after which the statement surely runs
_QUIET = 0.3  # seconds without any work after which it surely does not
_LOOK = 0.005
_STIRRING = 0.001  # processor seconds between two looks that are not yet work
_PATIENCE = 30.0

_Cancel = Callable[[], None]
_Begun = Callable[[World], AbstractContextManager[_Cancel]]


def measure(world: World) -> list[Figure]:
    """The median for each protocol."""
    figures = []
    for protocol, begun in ((HTTP, _over_http), (FLIGHT, _over_flight)):
        world.say(f"Cancelling over {protocol}")
        taken = [_seconds_to_stop(world, begun) for _ in range(world.plan.rounds)]
        figures.append(
            Figure(
                what=f"cancelled query stops in its worker, {protocol}",
                measured=statistics.median(taken) * 1000,
                unit="ms",
                reach=1000,
            )
        )
    return figures


def _seconds_to_stop(world: World, begun: _Begun) -> float:
    with begun(world) as cancel:
        before = _worked(world)
        _wait(lambda: _worked(world) > before + _BUSY)
        cancel()
        cancelled = last = perf_counter()
        worked = _worked(world)
        while perf_counter() - last < _QUIET:
            sleep(_LOOK)
            now = _worked(world)
            if now > worked + _STIRRING:
                last = perf_counter()
            worked = now
            if last - cancelled > _PATIENCE:
                raise SystemExit("A cancelled query did not stop.")
    return last - cancelled


def _wait(holds: Callable[[], bool]) -> None:
    until = perf_counter() + _PATIENCE
    while not holds():
        if perf_counter() > until:
            raise SystemExit("The query that was to be cancelled did not begin.")
        sleep(_LOOK)


def _worked(world: World) -> float:
    """Processor seconds of all query workers together; one that was ended counts no more."""
    return sum(_processor_seconds(pid) for pid in family(world.service.pid) if _queries(pid))


def _queries(pid: int) -> bool:
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"marketplace.engine.child" in command and b"query" in command
    return False


def _processor_seconds(pid: int) -> float:
    """Of all threads, to the nanosecond that the scheduler keeps."""
    seconds = 0.0
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                seconds += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return seconds


@contextmanager
def _over_http(world: World) -> Iterator[_Cancel]:
    """A query on a bare connection, and how to leave it."""
    where = urlsplit(world.service.url)
    body = json.dumps({"sql": _ENDLESS})
    with closing(socket.create_connection((where.hostname or "", where.port or 80))) as connection:
        connection.sendall(
            f"POST /api/v1/query HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"Authorization: Bearer {world.members[0]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        yield connection.close


@contextmanager
def _over_flight(world: World) -> Iterator[_Cancel]:
    """A query of ADBC that waits for its rows in a thread, and its cancel."""
    with (
        ThreadPoolExecutor(1) as thread,
        closing(connect_flight(world.service.flight, world.members[0])) as connection,
        connection.cursor() as cursor,
    ):
        asked = thread.submit(_fetch, cursor)
        yield cursor.adbc_cancel
        if asked.exception() is None:
            raise SystemExit("A cancelled query answered.")


def _fetch(cursor: dbapi.Cursor) -> None:
    cursor.execute(_ENDLESS)
    cursor.fetch_arrow_table()
