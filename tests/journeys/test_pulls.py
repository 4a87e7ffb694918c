"""Tables pulled over a connection that breaks: whole in the end, or nothing and a reason."""

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet
import pytest

from marketplace.client import (
    Client,
    MarketplaceProblem,
    ServiceUnreachable,
    StreamCut,
    connect,
    pulling,
)

TABLE = "payment,amount,text\n" + "".join(
    f"{n},{n}.25,{hashlib.sha256(str(n).encode()).hexdigest()}\n" for n in range(100_000)
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Wire:
    """A TCP relay to the service that cuts connections, each after so many bytes of its answer.

    `lengths` says after how many; once they are used up, nothing is cut any more. A length of None
    lets one connection be whole.
    """

    def __init__(self, url: str, lengths: list[int | None]) -> None:
        address = urlsplit(url)
        self._service = (address.hostname, address.port)
        self._lengths = lengths
        self.cuts = 0
        self.requests: list[bytes] = []
        self.before: Callable[[bytes], None] = lambda _: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                thread = threading.Thread(target=self._relay, args=(caller,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _relay(self, caller: socket.socket) -> None:
        """One call on each connection: what is cut is cut in the answer to it."""
        with caller, suppress(OSError):
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                piece = caller.recv(65536)
                if not piece:
                    return
                request += piece
            self.requests.append(request)
            self.before(request)
            left = self._lengths.pop(0) if self._lengths else None
            with socket.create_connection(self._service, timeout=30) as service:
                service.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                while answer := service.recv(65536 if left is None else min(left, 65536)):
                    caller.sendall(answer)
                    left = None if left is None else left - len(answer)
                    if left == 0:
                        self.cuts += 1
                        return


@pytest.fixture
def wired(world, url, monkeypatch) -> Iterator[Callable[..., tuple[Wire, Client]]]:
    """A client whose connections are cut after these many bytes."""
    monkeypatch.setattr(pulling, "_WAITS", (0.0,) * 5)
    with ExitStack() as held:

        def wired(*lengths: int | None) -> tuple[Wire, Client]:
            wire = Wire(url, list(lengths))
            held.callback(wire.close)
            return wire, held.enter_context(connect(wire.url, token=world.secret("member")))

        yield wired


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pulled"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("seed", range(5))
def test_a_pull_that_is_cut_at_random_points_is_whole_in_the_end(
    world, wired, folder: Path, seed: int
) -> None:
    [file] = world.publish(TABLE).table.files
    world.share()
    chance = random.Random(seed)
    cuts = [chance.randrange(2000, file.bytes // 3) for _ in range(6)]
    wire, client = wired(None, *cuts)
    told: list[tuple[int, int | None]] = []
    path = client.pull(
        "mhclg.homes", folder / "homes.parquet", progress=lambda *done: told.append(done)
    )

    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    assert list(folder.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0
    assert wire.cuts >= 3
    # What had come was not asked for again.
    asked = [line for request in wire.requests for line in request.split(b"\r\n")]
    ranges = [line for line in asked if line.lower().startswith(b"range:")]
    assert len(set(ranges)) == len(ranges) >= 3
    assert told[-1] == (file.bytes, file.bytes)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("at", [0, 1, 20, 150])
def test_a_list_of_files_that_is_cut_is_asked_for_again(
    world, wired, folder: Path, at: int
) -> None:
    [file] = world.publish(TABLE).table.files
    world.share()
    _, client = wired(*[at or 1] * 2)
    path = client.pull("mhclg.homes", folder / "homes.parquet")

    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def test_a_pull_keeps_to_its_release_when_another_is_published_meanwhile(
    world, wired, folder: Path
) -> None:
    [file] = world.publish(TABLE).table.files
    world.share()
    wire, client = wired(None, 200_000)

    def publish(request: bytes) -> None:
        if b"if-range" in request.lower():
            wire.before = lambda _: None
            world.publish(TABLE + "100000,1.25,x\n", parent=1)

    wire.before = publish
    path = client.pull("mhclg.homes", folder / "homes.parquet")

    assert wire.cuts == 1
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    newest = client.pull("mhclg.homes", folder / "newest.parquet")
    assert pa.parquet.read_metadata(newest).num_rows == 100_001
    first = client.pull("mhclg.homes", folder / "first.parquet", release=1)
    assert first.read_bytes() == path.read_bytes()


def test_a_pull_begins_again_when_the_agreement_lets_out_another_file(
    world, wired, folder: Path
) -> None:
    world.publish(TABLE)
    agreement = world.share()
    wire, client = wired(None, 200_000)

    def revise(request: bytes) -> None:
        if b"if-range" in request.lower():
            wire.before = lambda _: None
            world.marketplace.sharing.revoke(world.owner, agreement.id, "Too much")
            world.share(columns=("payment", "text"))

    wire.before = revise
    path = client.pull("mhclg.homes", folder / "homes.parquet")

    assert pa.parquet.read_table(path).column_names == ["payment", "text"]
    assert list(folder.iterdir()) == [path]


def test_a_pull_whose_access_ends_meanwhile_is_told_why_and_leaves_nothing(
    world, wired, folder: Path
) -> None:
    world.publish(TABLE)
    agreement = world.share()
    wire, client = wired(None, 200_000)

    def revoke(request: bytes) -> None:
        if b"if-range" in request.lower():
            world.marketplace.sharing.revoke(world.owner, agreement.id, "The purpose has ended")

    wire.before = revoke
    with pytest.raises(MarketplaceProblem) as refused:
        client.pull("mhclg.homes", folder / "homes.parquet")

    assert refused.value.status == 403
    assert list(folder.iterdir()) == []


def test_a_pull_gives_up_when_no_attempt_brings_more(world, wired, folder: Path) -> None:
    world.publish(TABLE)
    world.share()
    (folder / "homes.parquet").write_text("older")
    wire, client = wired(None, *[10] * 50)
    with pytest.raises((StreamCut, ServiceUnreachable)):
        client.pull("mhclg.homes", folder / "homes.parquet")

    assert wire.cuts == 6
    assert [path.read_text() for path in folder.iterdir()] == ["older"]


def test_what_is_refused_is_not_asked_for_again(world, wired, folder: Path) -> None:
    world.publish(TABLE)
    wire, client = wired()
    with pytest.raises(MarketplaceProblem) as refused:
        client.pull("mhclg.homes", folder / "homes.parquet")

    assert refused.value.status == 403
    assert len(wire.requests) == 1
    assert list(folder.iterdir()) == []
