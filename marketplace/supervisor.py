"""Several processes as one service: started, watched, started again, and ended in good order.

    prepare     brings the schema up to date and tries the store, once, and ends
    http        any number on one port, among which the kernel deals connections
    flight      Flight SQL on a port of its own

The supervisor serves nothing itself and holds no connection. An order goes to a process by its
standard input, so that no secret stands on a command line; when that input ends, the supervisor is
gone, and the process ends too (decision 0011).
"""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from time import monotonic
from typing import cast

import msgspec

from marketplace.errors import SettingInvalid
from marketplace.flight.memory import BOUNDED
from marketplace.listening import bind
from marketplace.settings import Settings

CHILD = "marketplace.serving_process"
"""The module that a process is started as."""

_log = logging.getLogger(__name__)

# How long a process gets to end: its calls have 30 seconds, its workers and the log a few more.
_GRACE_SECONDS = 45.0

# Between the end of a process and the start of the next, doubled each time.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0

# A process that lived this long had started well; its end is no reason for a longer pause.
_WELL_SECONDS = 60.0

_LEAST_MEMORY = 512 * 1024**2


class Part(StrEnum):
    """What one process does."""

    PREPARE = "prepare"
    HTTP = "http"
    FLIGHT = "flight"


class Order(msgspec.Struct, frozen=True):
    """What a process is told, as one line of JSON on its standard input."""

    part: Part
    settings: Settings


class Started(msgspec.Struct, frozen=True):
    """What a process answers, as one line of JSON on its standard output, once it serves.

    Where it cannot, `problem` says why and `next_step` what to do.
    """

    problem: str = ""
    next_step: str = ""


def supervise(settings: Settings, *, ready: Callable[[Settings], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called, with the ports in use, once all answer.

    Raises SettingInvalid where a process could not start. One that ends later is started again.
    """
    with _reserved(settings.host, settings.port) as port:
        asyncio.run(_Supervisor(msgspec.structs.replace(settings, port=port)).run(ready))


def divided(settings: Settings) -> Settings:
    """One process's part of what the settings grant the service, so that the sum holds.

    Places for one person are not divided: a person's calls may all come to one process.
    """
    processes = len(_parts(settings))

    def part(whole: int, least: int = 1) -> int:
        return max(whole // processes, least)

    return msgspec.structs.replace(
        settings,
        query_workers=part(settings.query_workers),
        query_memory_in_all=part(settings.query_memory_in_all, _LEAST_MEMORY),
        query_line=part(settings.query_line),
        queries_at_once=part(settings.queries_at_once),
        ingests_at_once=part(settings.ingests_at_once),
        uploads_at_once=part(settings.uploads_at_once),
        downloads_at_once=part(settings.downloads_at_once),
    )


def _parts(settings: Settings) -> list[Part]:
    return [Part.HTTP] * settings.processes + [Part.FLIGHT] * bool(settings.flight_port)


class _Supervisor:
    """The processes of one service, in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = divided(settings)
        self._stopping = asyncio.Event()
        self._running: set[Process] = set()

    async def run(self, ready: Callable[[Settings], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._prepare()
            if not self._stopping.is_set():
                await self._serve(ready)
        finally:
            self._stopping.set()
            await self._end_all()

    async def _prepare(self) -> None:
        process, started = await self._start(Part.PREPARE)
        if not self._stopping.is_set():
            await self._ended(process)
            _check(started, Part.PREPARE)

    async def _serve(self, ready: Callable[[Settings], None]) -> None:
        parts = _parts(self._settings)
        begun = await asyncio.gather(*(self._start(part) for part in parts))
        if self._stopping.is_set():
            return
        for part, (_, started) in zip(parts, begun, strict=True):
            _check(started, part)
        ready(self._settings)
        kept = [
            asyncio.create_task(self._keep(part, process))
            for part, (process, _) in zip(parts, begun, strict=True)
        ]
        await self._stopping.wait()
        await self._end_all()
        await asyncio.gather(*kept)

    async def _keep(self, part: Part, process: Process) -> None:
        """Start a process again whenever it has ended, until the service stops."""
        pause, since = _SHORTEST_PAUSE, monotonic()
        while True:
            code = await self._ended(process)
            if self._stopping.is_set():
                return
            if monotonic() - since > _WELL_SECONDS:
                pause = _SHORTEST_PAUSE
            _log.error("The %s process ended with %d; another starts in %g s.", part, code, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            pause, since = min(2 * pause, _LONGEST_PAUSE), monotonic()
            process, started = await self._start(part)
            if started is not None and started.problem:
                _log.error("The %s process could not start: %s", part, started.problem)

    async def _start(self, part: Part) -> tuple[Process, Started | None]:
        """Start a process and wait for its answer; None where it ended without one."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", CHILD),
            stdin=PIPE,
            stdout=PIPE,
            env=os.environ | BOUNDED if part is Part.FLIGHT else None,
            # A terminal's Ctrl-C is for the supervisor, which then ends all in good order.
            start_new_session=True,
        )
        self._running.add(process)
        orders = cast("asyncio.StreamWriter", process.stdin)
        answers = cast("asyncio.StreamReader", process.stdout)
        order = msgspec.json.encode(Order(part, self._own), enc_hook=str)
        with suppress(ConnectionError):
            orders.write(order + b"\n")
            await orders.drain()
        stopping = asyncio.create_task(self._stopping.wait())
        answer = asyncio.create_task(answers.readline())
        await asyncio.wait((answer, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not answer.done():
            answer.cancel()
            return process, None
        line = answer.result()
        return process, msgspec.json.decode(line, type=Started) if line else None

    async def _ended(self, process: Process) -> int:
        code = await process.wait()
        self._running.discard(process)
        return code

    async def _end_all(self) -> None:
        """Ask every process to end, and kill what has not after its time."""
        processes = list(self._running)
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        waiting = asyncio.gather(*(self._ended(process) for process in processes))
        try:
            await asyncio.wait_for(waiting, _GRACE_SECONDS)
        except TimeoutError:
            for process in list(self._running):
                _log.error("The process %d did not end in its time and is killed.", process.pid)
                with suppress(ProcessLookupError):
                    process.kill()


def _check(started: Started | None, part: Part) -> None:
    if started is None:
        raise SettingInvalid(
            f"The {part} process of the service ended before it could serve.",
            next_step="What it wrote to the log says why.",
        )
    if started.problem:
        raise SettingInvalid(started.problem, next_step=started.next_step)


@contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """Keep a port (0: any that is free) from others, while the processes share it; yields it."""
    # Only a socket that shares with nobody finds out whether somebody has the port already.
    with bind(host, port) as alone:
        found: int = alone.getsockname()[1]
    with bind(host, found, shared=True):
        yield found
