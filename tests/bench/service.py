"""The service, started as its users start it, in its default settings."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from marketplace.client import ClientError, connect

_MARKETPLACE = Path(sys.executable).with_name("marketplace")


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where it listens for HTTP and for Flight SQL, and its process."""

    url: str
    flight: str
    pid: int


@contextmanager
def serving(data: Path) -> Iterator[Service]:
    """The service over a data folder for the length of a block; it logs beside that folder."""
    port, flight = _free_ports()
    ports = ["--port", str(port), "--flight-port", str(flight)]
    command = [str(_MARKETPLACE), "serve", "--data", str(data), *ports]
    with data.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, process)
        yield Service(url=url, flight=f"grpc://127.0.0.1:{flight}", pid=process.pid)
    finally:
        process.terminate()
        process.wait()


def _free_ports() -> tuple[int, int]:
    here = ("127.0.0.1", 0)
    with socket.create_server(here) as one, socket.create_server(here) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    with connect(url) as client:
        for _ in range(300):
            if process.poll() is not None:
                raise SystemExit("The service did not start.")
            with suppress(ClientError):
                client.health()
                return
            sleep(0.1)
    raise SystemExit("The service does not answer.")
