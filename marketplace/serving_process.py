"""One process of the service, as the supervisor starts it: `python -m marketplace.serving_process`."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import msgspec

from catalogue.errors import Problem
from marketplace.bootstrap import opened
from marketplace.serve import run_server
from marketplace.service_log import configure_log
from marketplace.settings import decode_path
from marketplace.supervisor import Order, Part, Started

_log = logging.getLogger(__name__)


def main() -> int:
    """Do what the order says until SIGTERM, or until the supervisor is gone."""
    configure_log()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order, dec_hook=decode_path)
    Thread(target=_end_with_supervisor, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        with suppress(KeyboardInterrupt):
            _serve(order, lambda: _answer(Started()))
    except Problem as problem:
        _log.error("%s %s", problem, problem.next_step)
        _answer(Started(problem=str(problem), next_step=problem.next_step))
        return 1
    return 0


def _serve(order: Order, ready: Callable[[], None]) -> None:
    settings = order.settings
    match order.part:
        case Part.PREPARE:
            with opened(settings):
                ready()
        case Part.HTTP:
            with opened(settings, prepared=True) as marketplace:
                run_server(marketplace, settings.host, settings.port, shared=True, ready=ready)
        case Part.FLIGHT:
            # Only this process needs gRPC.
            from marketplace.flight.memory import require_bounded
            from marketplace.flight.server import run_flight

            require_bounded()

            with opened(settings, prepared=True) as marketplace:
                run_flight(marketplace, settings.host, settings.flight_port, ready=ready)


def _answer(started: Started) -> None:
    with suppress(OSError):  # the supervisor is gone
        sys.stdout.buffer.write(msgspec.json.encode(started) + b"\n")
        sys.stdout.buffer.flush()


def _end_with_supervisor(order: int) -> None:
    """End in good order when the supervisor's end of the pipe is closed."""
    while os.read(order, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
