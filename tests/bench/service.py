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
    """Where it listens, and its process. `flight` is empty where it does not speak Flight SQL."""

    url: str
    flight: str
    pid: int


@contextmanager
def serving(data: Path) -> Iterator[Service]:
    """The service over a data folder for the length of a block; it logs beside that folder."""
    port = _free_port()
    command = [str(_MARKETPLACE), "serve", "--data", str(data), "--port", str(port)]
    flight = _free_port() if _speaks_flight() else None
    if flight is not None:
        command += ["--flight-port", str(flight)]
    with data.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, process)
        where = f"grpc://127.0.0.1:{flight}" if flight is not None else ""
        yield Service(url=url, flight=where, pid=process.pid)
    finally:
        process.terminate()
        process.wait()


def _speaks_flight() -> bool:
    told = subprocess.run([_MARKETPLACE, "serve", "--help"], capture_output=True, text=True)
    return "--flight-port" in told.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


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
