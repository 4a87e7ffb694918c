"""Several processes on one port: one dies and the service goes on, one act is seen by all."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from marketplace import bootstrap
from marketplace.client import MarketplaceProblem, connect
from marketplace.client.errors import ServiceUnreachable
from marketplace.settings import read_settings

from .conftest import BY, World

PATIENCE = 60
QUERY = "SELECT count(*) AS homes FROM mhclg.homes"


@dataclass
class Service:
    """A running service of two processes, and what it was started on."""

    supervisor: subprocess.Popen[str]
    url: str
    world: World

    @property
    def children(self) -> set[int]:
        """The processes that serve now."""
        try:
            listed = Path(f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}/children")
            return {int(child) for child in listed.read_text().split()}
        except FileNotFoundError:
            return set()

    def ask(self) -> list[int]:
        """Query over several connections, so that each process is met; the distinct answers."""
        answers = []
        for _ in range(12):
            with connect(self.url, token=self.world.secret("member")) as client:
                (row,) = client.query(QUERY).to_arrow().to_pylist()
                answers.append(row["homes"])
        return answers

    def answers(self) -> bool:
        """Whether every connection is answered; one that met a dying process is told so."""
        try:
            return set(self.ask()) == {3}
        except ServiceUnreachable:
            return False


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come to hold."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = read_settings({}, data=tmp_path / "data")
    with bootstrap.opened(settings) as marketplace:
        world = World(marketplace, tmp_path)
        world.publish()
        world.share()
        command = [Path(sys.executable).with_name("marketplace"), "serve", "--port", "0"]
        supervisor = subprocess.Popen(
            [*command, "--processes", "2", "--data", tmp_path / "data"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert supervisor.stdout is not None
        url = ""
        for line in supervisor.stdout:
            if found := re.search(r"http://\S+:\d+", line):
                url = found[0]
                break
        assert url, "the service did not start"
        running = Service(supervisor, url, world)
        try:
            yield running
        finally:
            supervisor.kill()
            supervisor.wait(PATIENCE)
            supervisor.stdout.close()


def test_the_service_goes_on_when_one_of_its_processes_dies(service: Service) -> None:
    before = service.children
    assert len(before) == 2
    assert set(service.ask()) == {3}
    victim = before.pop()
    os.kill(victim, signal.SIGKILL)
    until(service.answers)
    until(lambda: len(service.children - {victim}) == 2)
    assert before < service.children, "the other one was not touched"
    until(service.answers)


def test_a_revocation_elsewhere_is_seen_by_every_process_at_once(service: Service) -> None:
    assert set(service.ask()) == {3}
    world = service.world
    token = world.principal("member").token_id
    world.marketplace.administration.revoke_token(token, by=BY)
    for _ in range(12):
        with (
            connect(service.url, token=world.secret("member")) as client,
            pytest.raises(MarketplaceProblem) as refused,
        ):
            client.query(QUERY).to_arrow()
        assert refused.value.status == 401


def test_a_release_published_elsewhere_is_read_by_every_process_at_once(service: Service) -> None:
    assert set(service.ask()) == {3}
    service.world.publish("area_code,area,households,children\nE08000012,Liverpool,1,2\n")
    assert set(service.ask()) == {1}


def test_a_service_that_is_told_to_stop_ends_with_all_its_processes(service: Service) -> None:
    children = service.children
    service.supervisor.send_signal(signal.SIGTERM)
    assert service.supervisor.wait(PATIENCE) == 0
    assert not any(alive(child) for child in children)


def test_processes_end_when_their_supervisor_is_killed(service: Service) -> None:
    children = service.children
    service.supervisor.kill()
    service.supervisor.wait(PATIENCE)
    until(lambda: not any(alive(child) for child in children))


def test_a_port_that_is_taken_is_told_and_not_shared(service: Service, tmp_path: Path) -> None:
    port = service.url.rpartition(":")[2]
    command = [Path(sys.executable).with_name("marketplace"), "serve", "--port", port]
    told = subprocess.run(
        [*command, "--processes", "2", "--data", tmp_path / "other"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert told.returncode != 0
    assert "cannot listen" in told.stderr
