"""The entry of a confined process: `python -m marketplace.engine.child ROLE INTERRUPTS [MEMORY GIVEN]`.

It imports its role, gives up its rights, and then serves requests until its parent is gone. It has
an empty environment, no credentials, and only the files that the first request names. The arguments
are descriptors: of a pipe through which its parent names the request that it should end early, and
which ends with the parent; and of the memory that it shares with it, if any, with the pipe through
which parts of that are given back.
"""

import importlib
import os
import struct
import sys
import threading
import traceback
from types import ModuleType
from typing import BinaryIO, cast

import msgspec

from catalogue.errors import Problem
from marketplace.engine.confinement import confine
from marketplace.engine.frames import Failure, FrameKind, Output, read_request
from marketplace.engine.roles import MODULES, Confine, Interruptible, Role, Worker
from marketplace.engine.slots import WritableSlots

_NUMBER = struct.Struct("<I")


def main(role: Role, interrupts: int, *shared: int) -> None:
    """Serve until the parent closes the pipe or the worker is no longer fit."""
    requests, output = _claim_pipes(WritableSlots(*shared) if shared else None)
    # pyarrow imports it where it is installed. Nothing here needs it, and the service has none.
    sys.modules["numpy"] = cast("ModuleType", None)
    module = importlib.import_module(MODULES[role])
    output.say(FrameKind.READY, b"")
    first = read_request(requests)
    if first is None:
        return
    _silence_errors()
    confinement = msgspec.msgpack.decode(first, type=Confine)
    try:
        held = confine(
            confinement.limits, read=confinement.read_paths, write=confinement.write_paths
        )
    except Problem as problem:
        _tell(output, problem)
        return
    worker: Worker = module.open_worker(confinement.limits, confinement.write_paths[0])
    work = Work(worker)
    threading.Thread(target=_listen, args=(interrupts, work), daemon=True).start()
    output.say(FrameKind.READY, held.encode())
    _serve(worker, work, requests, output)


class Work:
    """The requests as they are done, one after the other, the first of them number one."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._number = 0
        self._running = False
        self._guard = threading.Lock()

    def perform(self, request: bytes, output: Output) -> msgspec.Struct:
        """Do the next one."""
        with self._guard:
            self._number += 1
            self._running = True
        try:
            return self._worker.perform(request, output)
        finally:
            with self._guard:
                self._running = False

    def interrupt(self, number: int) -> None:
        """Let that request end early, and no other that came meanwhile; from another thread."""
        with self._guard:
            asked = self._running and number == self._number
            if asked and isinstance(self._worker, Interruptible):
                self._worker.interrupt()


def _serve(worker: Worker, work: Work, requests: BinaryIO, output: Output) -> None:
    while (request := read_request(requests)) is not None:
        try:
            end = work.perform(request, output)
            output.end(msgspec.msgpack.encode(end, enc_hook=str))
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 -- whatever it is, the parent must be told
            output.discard()
            _tell(output, error)
        if not worker.fit():
            return
        output.say(FrameKind.READY, b"")


def _tell(output: Output, error: Exception) -> None:
    known = isinstance(error, Problem)
    failure = Failure(
        kind=type(error).__name__ if known else "",
        detail=error.detail if isinstance(error, Problem) else "",
        next_step=error.next_step if isinstance(error, Problem) else "",
        lines=error.lines if isinstance(error, Problem) else (),
        where="" if known else _where(error),
    )
    output.say(FrameKind.ERROR, msgspec.msgpack.encode(failure))


def _where(error: Exception) -> str:
    """Class and code places of an error: its text may hold a user's values."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} in {places}"


def _claim_pipes(slots: WritableSlots | None) -> tuple[BinaryIO, Output]:
    """Take the pipes, and leave nothing that a library's stray print could write into."""
    requests = os.fdopen(os.dup(0), "rb")
    output = Output(os.dup(1), slots)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return requests, output


def _silence_errors() -> None:
    """From here on what a library says of a failure may hold data."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _listen(interrupts: int, work: Work) -> None:
    """Interrupt what the parent names, and leave at once when it is gone, whatever is being done."""
    while message := os.read(interrupts, _NUMBER.size):
        work.interrupt(_NUMBER.unpack(message)[0])
    os._exit(0)


if __name__ == "__main__":
    main(Role(sys.argv[1]), *map(int, sys.argv[2:]))
