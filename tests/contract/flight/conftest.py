"""A real marketplace behind a real Flight server, and a client that speaks the bare protocol.

No driver stands between: what these tests send, anybody on the network can send.
"""

import base64
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import pyarrow as pa
import pytest
from google.protobuf.any_pb2 import Any as Wrapped
from google.protobuf.message import Message
from pyarrow import flight, ipc

from access_policies.scope import RowsInPlaces, TableScope
from access_policies.vocabulary import Audience, Role
from catalogue.address import TableAddress
from marketplace import bootstrap
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind, RecordedEntry
from marketplace.bootstrap import Marketplace
from marketplace.flight import flight_sql_pb2 as sql
from marketplace.flight.server import running_flight
from marketplace.identity.organisations import Organisation
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.identity.tokens import authenticate
from marketplace.publish import DatasetDetails
from marketplace.settings import read_settings
from marketplace.sharing.agreements import Agreement
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.vocabulary import DataType, Power

T = TypeVar("T")
M = TypeVar("M", bound=Message)

BY = "the operator"
HOMES = "area_code,area,households\nE08000012,Liverpool,1200\nE08000039,Sheffield,614\n"


def _packed(message: Message) -> bytes:
    wrapped = Wrapped()
    wrapped.Pack(message)
    return wrapped.SerializeToString()


@dataclass
class Prepared:
    """What came back for a statement to prepare."""

    handle: bytes
    schema: pa.Schema
    parameters: pa.Schema
    is_update: bool


class Caller:
    """A bare client with a token (or any other credentials)."""

    def __init__(self, location: str, authorization: str, **headers: str) -> None:
        self.client = flight.connect(location)
        pairs = [("authorization", authorization), *headers.items()]
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in pairs]
        self.options = flight.FlightCallOptions(headers=self._headers)
        self._streams: list[flight.FlightStreamReader] = []

    def leave(self) -> None:
        """Cancel every result that was begun, so that the service need not wait for its reader."""
        for stream in self._streams:
            stream.cancel()

    def impatient(self, seconds: float) -> "Caller":
        """Leave each call after so long."""
        self.options = flight.FlightCallOptions(headers=self._headers, timeout=seconds)
        return self

    def info(self, command: Message | bytes) -> flight.FlightInfo:
        """What a command gives, and the ticket for it."""
        data = command if isinstance(command, bytes) else _packed(command)
        return self.client.get_flight_info(flight.FlightDescriptor.for_command(data), self.options)

    def ticket(self, text: str) -> flight.Ticket:
        """A ticket for one run of a statement."""
        return self.info(sql.CommandStatementQuery(query=text)).endpoints[0].ticket

    def stream(self, ticket: flight.Ticket | bytes) -> flight.FlightStreamReader:
        """The rows that a ticket is for, as they come."""
        shown = ticket if isinstance(ticket, flight.Ticket) else flight.Ticket(ticket)
        self._streams.append(self.client.do_get(shown, self.options))
        return self._streams[-1]

    def read(self, ticket: flight.Ticket | bytes) -> pa.Table:
        """All rows that a ticket is for."""
        return self.stream(ticket).read_all()

    def rows(self, text: str) -> list[dict[str, Any]]:
        """The rows of a statement."""
        found: list[dict[str, Any]] = self.read(self.ticket(text)).to_pylist()
        return found

    def listed(self, command: Message) -> list[dict[str, Any]]:
        """The rows of a list."""
        info = self.info(command)
        table = self.read(info.endpoints[0].ticket)
        assert table.schema.equals(info.schema)
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def act(self, name: str, body: Message | bytes = b"") -> list[bytes]:
        """What an action answers with."""
        data = body if isinstance(body, bytes) else body.SerializeToString()
        return [
            result.body.to_pybytes()
            for result in self.client.do_action(flight.Action(name, data), self.options)
        ]

    def prepare(self, text: str) -> Prepared:
        """Prepare a statement."""
        request = sql.ActionCreatePreparedStatementRequest(query=text)
        [body] = self.act("CreatePreparedStatement", _packed(request))
        answer = sql.ActionCreatePreparedStatementResult()
        assert Wrapped.FromString(body).Unpack(answer)
        return Prepared(
            handle=answer.prepared_statement_handle,
            schema=ipc.read_schema(pa.py_buffer(answer.dataset_schema)),
            parameters=ipc.read_schema(pa.py_buffer(answer.parameter_schema)),
            is_update=answer.is_update,
        )

    def bind(self, handle: bytes, *batches: pa.RecordBatch) -> bytes:
        """Bind values to a prepared statement; returns the handle to use from then on."""
        command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
        answer = self.put(_packed(command), *batches)
        return sql.DoPutPreparedStatementResult.FromString(answer).prepared_statement_handle

    def put(self, command: bytes, *batches: pa.RecordBatch) -> bytes:
        """Send batches under a command; returns what is answered."""
        descriptor = flight.FlightDescriptor.for_command(command)
        writer, reader = self.client.do_put(descriptor, batches[0].schema, self.options)
        with writer:
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
            answer = reader.read()
        return answer.to_pybytes() if answer is not None else b""

    def execute(self, handle: bytes) -> list[dict[str, Any]]:
        """The rows of a prepared statement."""
        command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
        rows: list[dict[str, Any]] = self.read(self.info(command).endpoints[0].ticket).to_pylist()
        return rows


class _Cookies(flight.ClientMiddlewareFactory):  # type: ignore[misc]
    """Keeps the headers `set-cookie` of every answer."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def start_call(self, info: Any) -> flight.ClientMiddleware:
        return _CookiesOfACall(self.told)


class _CookiesOfACall(flight.ClientMiddleware):  # type: ignore[misc]
    def __init__(self, told: list[str]) -> None:
        self._told = told

    def received_headers(self, headers: dict[str, list[str]]) -> None:
        self._told += headers.get("set-cookie", [])


class FlightWorld:
    """A ministry with two datasets, of which one is for its own eyes, and two squads."""

    agreement: Agreement

    def __init__(self, marketplace: Marketplace, location: str, folder: Path) -> None:
        self.marketplace = marketplace
        self.location = location
        self._folder = folder
        self._secrets: dict[str, str] = {}
        self._callers: list[Caller] = []
        self._enter()

    def secret(self, name: str) -> str:
        """The token of a person."""
        return self._secrets[name]

    def principal(self, name: str) -> Principal:
        """Whom a person's token stands for now."""
        with self.marketplace.database.reading() as connection:
            return authenticate(connection, self._secrets[name], now=self.marketplace.clock())

    def caller(self, name: str, *, location: str | None = None, **headers: str) -> Caller:
        """A client with a person's token."""
        bearer = f"Bearer {self._secrets[name]}"
        self._callers.append(Caller(location or self.location, bearer, **headers))
        return self._callers[-1]

    def leave(self) -> None:
        """Let every client leave what it reads."""
        for caller in self._callers:
            caller.leave()

    def caller_with_cookies(self, name: str) -> tuple[Caller, list[str]]:
        """A client with a person's token, and the cookies that it is told to keep."""
        kept = _Cookies()
        caller = self.caller(name)
        caller.client = flight.connect(self.location, middleware=[kept])
        return caller, kept.told

    def publish(self, address: str, text: str, *, visible_to: Audience) -> None:
        """Publish CSV text."""
        file = self._folder / "published.csv"
        file.write_text(text)
        self.marketplace.publishing.publish(
            self.principal("publisher"),
            file,
            file.name,
            TableAddress.parse(address),
            details=DatasetDetails(title=address, visible_to=visible_to),
        )

    def share(self, address: str = "mhclg.homes") -> Agreement:
        """Let the Sheffield squad have Sheffield's rows of a table."""
        table = TableAddress.parse(address)
        draft = RequestDraft(
            dataset=table.dataset_address,
            tables=(
                TableScope(
                    table=table.name,
                    columns=("area", "households"),
                    rows=RowsInPlaces(places=("Sheffield",)),
                ),
            ),
            last_day=date(2026, 12, 31),
            data_type=DataType.NONE,
            aims="Fewer families in bed and breakfast",
            power=Power.LEGISLATION,
            power_named="Housing Act 1996, section 208",
        )
        request = self.marketplace.sharing.ask(self.principal("member"), draft)
        approval = Approval(reason="Within the programme")
        return self.marketplace.sharing.approve(self.principal("owner"), request.id, approval)

    def entries(self, kind: EntryKind) -> list[RecordedEntry]:
        """What the audit log has of one kind, newest first."""
        self.marketplace.audit.sequence()
        with self.marketplace.database.reading() as connection:
            return list(entries.latest(connection, kinds=(kind,), limit=1000))

    def revoke(self) -> None:
        """End the squad's agreement, as its owner."""
        self.marketplace.sharing.revoke(self.principal("owner"), self.agreement.id, "It ended.")

    def revoke_token(self, name: str) -> None:
        """Let a person's token open nothing any more."""
        self.marketplace.administration.revoke_token(self.principal(name).token_id, by=BY)

    def issue_another_token(self, name: str) -> None:
        """Give a member of the Sheffield squad another token beside the one they had."""
        self._secrets[name] = self._issue(name, "sheffield", project="sheffield_squad")

    def row(self, **values: object) -> pa.RecordBatch:
        """One row of values to bind."""
        return pa.RecordBatch.from_pylist([values])

    def closed(self) -> str:
        """How the newest result ended, once its record is closed."""
        newest = self.entries(EntryKind.READ_DECIDED)[0].id
        return self.until(lambda: self._outcomes().get(newest, ""))

    def until(self, found: Callable[[], T]) -> T:
        """What is found, once it is something."""
        end = monotonic() + 30
        while monotonic() < end:
            if outcome := found():
                return outcome
        raise TimeoutError("it did not come true")

    def kill_workers(self) -> None:
        """Kill every confined process of this world, as the kernel would."""
        for task in Path("/proc/self/task").iterdir():
            for child in (task / "children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def _outcomes(self) -> dict[str, str]:
        closed = self.entries(EntryKind.READ_CLOSED)
        return {str(entry.facts["read"]): str(entry.facts["outcome"]) for entry in closed}

    def _enter(self) -> None:
        administration = self.marketplace.administration
        government, local = Audience.GOVERNMENT, Audience.LOCAL_GOVERNMENT
        administration.register_organisations(
            [
                Organisation(name="mhclg", title="Ministry", audience=government),
                Organisation(name="sheffield", title="Sheffield", audience=local),
                Organisation(name="manchester", title="Manchester", audience=local),
            ],
            by=BY,
        )
        administration.open_first_stage(Audience.LOCAL_GOVERNMENT, by=BY)
        self._employ("publisher", "mhclg", role=Role.PUBLISHER)
        self._employ("owner", "mhclg", role=Role.OWNER)
        for council, member in (("sheffield", "member"), ("manchester", "outsider")):
            administration.register_project(
                Project(
                    name=f"{council}_squad",
                    title=council,
                    purpose="Families out of temporary accommodation",
                    organisation=council,
                    audience=local,
                ),
                by=BY,
            )
            self._employ(member, council, project=f"{council}_squad")
        self.publish("mhclg.homes", HOMES, visible_to=local)
        self.publish("mhclg.plans", "plan\nsecret\n", visible_to=government)

    def _employ(
        self, name: str, organisation: str, *, role: Role | None = None, project: str | None = None
    ) -> None:
        administration = self.marketplace.administration
        email = f"{name}@{organisation}.example"
        administration.register_person(name=name, email=email, organisation=organisation, by=BY)
        if project is not None:
            administration.add_member(
                project=project, email=email, first_day=date(2026, 1, 1), last_day=None, by=BY
            )
        self._secrets[name] = self._issue(name, organisation, role=role, project=project)

    def _issue(
        self, name: str, organisation: str, *, role: Role | None = None, project: str | None = None
    ) -> str:
        secret, _ = self.marketplace.administration.issue_token(
            email=f"{name}@{organisation}.example",
            role=role,
            project=project,
            organisation=organisation if role is not None else None,
            expires_at=self.marketplace.clock() + timedelta(days=30),
            by=BY,
        )
        return secret


@contextmanager
def _world(folder: Path, template: Path, **how: Any) -> Iterator[FlightWorld]:
    (folder / "data").mkdir()
    shutil.copy(template, folder / "data" / "marketplace.db")
    settings = read_settings({}, data=folder / "data", query_deadline=30)
    with (
        bootstrap.opened(settings, **how) as marketplace,
        running_flight(marketplace) as location,
    ):
        world = FlightWorld(marketplace, location, folder)
        world.agreement = world.share()
        try:
            yield world
        finally:
            world.leave()


@pytest.fixture(scope="module")
def shared_world(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FlightWorld]:
    """One world for the tests of a module that leave it as it was."""
    with _world(tmp_path_factory.mktemp("flight"), sqlite_template) as world:
        yield world


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path, clock: Any) -> Iterator[FlightWorld]:
    """A world of a test's own, with a clock to set."""
    with _world(tmp_path, sqlite_template, clock=clock) as world:
        yield world


@pytest.fixture
def member(shared_world: FlightWorld) -> Caller:
    """A member of the squad that may have Sheffield's rows of mhclg.homes."""
    return shared_world.caller("member")


@pytest.fixture
def basic() -> Callable[[str, str], str]:
    """The header of a user name and a password."""
    return lambda user, password: (
        f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    )


@pytest.fixture
def bare(shared_world: FlightWorld) -> Callable[[str], Caller]:
    """A client with any text where the token should be."""
    return lambda authorization: Caller(shared_world.location, authorization)


@pytest.fixture
def packed() -> Callable[[Message], bytes]:
    """A message as Flight SQL sends it, with its name."""
    return _packed


@pytest.fixture
def unpacked() -> Callable[[bytes, type[M]], M]:
    """The message in what Flight SQL sends."""

    def unpack(data: bytes, kind: type[M]) -> M:
        message = kind()
        assert Wrapped.FromString(data).Unpack(message)
        return message

    return unpack
