"""A real server on a real socket and real tokens; only what a query delivers is scripted.

How a result breaks off can not be arranged with a real worker at a chosen byte, so these tests give
the transport deliveries of their own. The journeys run the same calls over the whole marketplace.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event, Semaphore
from types import SimpleNamespace
from typing import Any, cast

import pytest

from access_policies.vocabulary import Audience
from catalogue.errors import ReleaseConflict
from connectors.local_store import LocalStore
from marketplace.bootstrap import Marketplace
from marketplace.database import Database, open_database
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.result_stream import Take
from marketplace.identity import organisations, people, projects, tokens
from marketplace.identity.callers import Callers
from marketplace.scratch import Scratch
from marketplace.serve import running
from marketplace.settings import Settings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class ScriptedDelivery:
    """Gives its chunks, then ends, raises, or waits until it is closed; or is there at once, whole."""

    entry = "e" * 32
    access_ends = datetime(2030, 1, 1, tzinfo=UTC)

    def __init__(
        self,
        *chunks: bytes,
        then: BaseException | None = None,
        wait: bool = False,
        at_once: bool = False,
    ) -> None:
        self.releases = {"mhclg.homes": 3}
        self.closed = Event()
        self.ended = Event()
        self._chunks = chunks
        self._left = iter(chunks)
        self._then = then
        self._wait = wait
        self._at_once = at_once

    def whole(self, most: int) -> bytes | None:
        if not self._at_once:
            return None
        self.close()
        return b"".join(self._chunks)

    def relay(self, take: Take) -> list[bytes]:
        for chunk in self._left:
            if left := take(chunk):
                return left
        if self._wait:
            self.closed.wait(20)
            raise EOFError
        if self._then is not None:
            raise self._then
        return []

    def stop_if_ended(self) -> bool:
        return self.ended.is_set()

    def close(self) -> None:
        self.closed.set()


@dataclass
class ScriptedQuerying:
    """Answers every query with what the test arranged, once it may, and keeps what it was asked."""

    answer: Any = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    parameters: bytes | None = None
    begun: Semaphore = field(default_factory=lambda: Semaphore(0))
    let: Event = field(default_factory=Event)
    stopped: Event = field(default_factory=Event)

    def _stop(self, reason: Exception) -> None:
        self.answer = reason
        self.stopped.set()
        self.let.set()

    def run(
        self,
        principal: Any,
        sql: str,
        output: Any,
        *,
        project: str | None = None,
        parameters: bytes | None = None,
        cancellation: Cancellation,
    ) -> Any:
        self.parameters = parameters
        self.asked.append((principal, sql, output, project))
        cancellation.attach(self._stop)
        self.begun.release()
        self.let.wait(20)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class ScriptedPublishing:
    """Takes every file: keeps its bytes and refuses it, once the test lets it, for being known."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.begun = Semaphore(0)
        self.let = Event()
        self.let.set()

    def expect(self, principal: Any, address: Any) -> None:
        pass

    def publish(self, principal: Any, file: Path, name: str, address: Any, **how: Any) -> Any:
        self.taken.append(file.read_bytes())
        self.begun.release()
        self.let.wait(20)
        raise ReleaseConflict(f"Release 1 of {address} already holds exactly this file.")


@dataclass(frozen=True)
class Service:
    """The service under test: where it answers, a member's token, and its scripted parts."""

    url: str
    token: str
    parts: SimpleNamespace

    @property
    def querying(self) -> ScriptedQuerying:
        querying: ScriptedQuerying = self.parts.querying
        return querying

    @property
    def publishing(self) -> ScriptedPublishing:
        publishing: ScriptedPublishing = self.parts.publishing
        return publishing

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def exchange(self, request: bytes) -> bytes:
        """Send raw bytes and read until the service ends the connection."""
        with socket.create_connection(self.address, timeout=20) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def delivery() -> type[ScriptedDelivery]:
    return ScriptedDelivery


@pytest.fixture(scope="session")
def started_service(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    path = folder / "marketplace.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = open_database(f"sqlite:///{path}")
    parts = SimpleNamespace(
        settings=Settings(data=folder, upload_limit=1000),
        clock=lambda: NOW,
        database=database,
        callers=Callers(database, lambda: NOW),
        store=LocalStore(folder / "objects"),
        scratch=Scratch(folder),
        audit=SimpleNamespace(fault=""),
        querying=ScriptedQuerying(),
        discovery=SimpleNamespace(dataset=None),
        sharing=SimpleNamespace(why=None),
        publishing=ScriptedPublishing(),
    )
    with running(cast("Marketplace", parts)) as url:
        yield Service(url=url, token=_member_token(database), parts=parts)
    database.close()


@pytest.fixture
def service(started_service: Service) -> Service:
    started_service.querying.answer = None
    started_service.querying.asked.clear()
    started_service.querying.begun = Semaphore(0)
    started_service.querying.stopped.clear()
    started_service.querying.let.set()
    started_service.publishing.taken.clear()
    started_service.publishing.begun = Semaphore(0)
    return started_service


def _member_token(database: Database) -> str:
    with database.writing() as connection:
        organisations.register(
            connection,
            organisations.Organisation(
                name="sheffield", title="Sheffield", audience=Audience.LOCAL_GOVERNMENT
            ),
        )
        person = people.register(
            connection, name="Sam Member", email="sam@example.org", organisation="sheffield"
        )
        projects.register(
            connection,
            projects.Project(
                name="family_squad",
                title="Family squad",
                purpose="Bring families to hubs",
                organisation="sheffield",
                audience=Audience.LOCAL_GOVERNMENT,
            ),
        )
        projects.add_member(
            connection, project="family_squad", person=person.id, first_day=date(2026, 1, 1)
        )
        secret, _ = tokens.issue_token(
            connection,
            person=person.id,
            project="family_squad",
            expires_at=NOW + timedelta(days=30),
            now=NOW,
        )
    return secret
