"""The entry of a confined process: `python -m marketplace.engine.child ROLE`.

It imports its role, gives up its rights, and then serves requests until its parent is gone. It has
an empty environment, no credentials, and only the files that the first request names.
"""

import importlib
import os
import select
import sys
import threading
import traceback
from typing import BinaryIO

import msgspec

from catalogue.errors import Problem
from marketplace.engine.confinement import confine
from marketplace.engine.frames import Failure, FrameKind, Output, read_request
from marketplace.engine.roles import MODULES, Confine, Role, Worker


def main(role: Role) -> None:
    """Serve until the parent closes the pipe or the worker is no longer fit."""
    requests, output = _claim_pipes()
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
    threading.Thread(target=_end_with_parent, args=(requests.fileno(),), daemon=True).start()
    worker: Worker = module.open_worker(confinement.limits, confinement.write_paths[0])
    output.say(FrameKind.READY, held.encode())
    _serve(worker, requests, output)


def _serve(worker: Worker, requests: BinaryIO, output: Output) -> None:
    while (request := read_request(requests)) is not None:
        try:
            end = worker.perform(request, output)
            output.flush()
            output.say(FrameKind.END, msgspec.msgpack.encode(end, enc_hook=str))
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


def _claim_pipes() -> tuple[BinaryIO, Output]:
    """Take the pipes, and leave nothing that a library's stray print could write into."""
    requests = os.fdopen(os.dup(0), "rb")
    output = Output(os.dup(1))
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


def _end_with_parent(requests: int) -> None:
    """Leave at once when the parent's end of the pipe is gone, also in the middle of a query."""
    poll = select.poll()
    poll.register(requests, 0)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main(Role(sys.argv[1]))
