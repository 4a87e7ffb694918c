"""Small messages that ask for much memory: the process that serves them stays small."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
from pyarrow import flight, ipc

from marketplace.errors import SettingInvalid
from marketplace.flight import flight_sql_pb2 as sql
from marketplace.flight.memory import require_bounded
from marketplace.listening import bind

MB = 1_000_000


class Served(NamedTuple):
    """The service as users start it: where Flight SQL is, and the numbers of its processes."""

    location: str
    processes: list[int]

    def peak(self) -> int:
        """The most memory that one of the processes ever had, in bytes."""
        return max(_peak(process) for process in self.processes)


def _peak(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture
def bomb() -> pa.RecordBatch:
    """Two gigabytes as whoever decompresses it sees them; here, all columns are the same memory."""
    column = pa.array([b"\0" * 100 * MB])
    return pa.record_batch({f"c{number}": column for number in range(20)})


@pytest.fixture
def served(shared_world) -> Iterator[Served]:
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    data = shared_world.marketplace.settings.data
    program = Path(sys.executable).with_name("marketplace")
    command = [program, "serve", "--port", "0", "--flight-port", str(port), "--data", data]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    try:
        assert any("http://" in line for line in supervisor.stdout), "the service did not start"
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text()
        yield Served(f"grpc://127.0.0.1:{port}", [int(child) for child in children.split()])
    finally:
        supervisor.terminate()
        supervisor.wait(60)
        supervisor.stdout.close()


def test_values_that_decompress_to_gigabytes_are_refused_and_cost_the_process_little(
    shared_world, served: Served, bomb: pa.RecordBatch
) -> None:
    caller = shared_world.caller("member", location=served.location)
    handle = caller.prepare("SELECT ? AS x").handle
    before = served.peak()
    caller.options = flight.FlightCallOptions(
        headers=[(b"authorization", f"Bearer {shared_world.secret('member')}".encode())],
        write_options=ipc.IpcWriteOptions(compression="zstd"),
    )

    def attack(_: int) -> str:
        with pytest.raises(flight.FlightError) as refused:
            caller.bind(handle, bomb)
        return str(refused.value)

    with ThreadPoolExecutor(8) as attackers:
        told = list(attackers.map(attack, range(8)))
    assert all("too large" in text or "Busy" in text for text in told), told
    assert any("too large" in text for text in told)
    assert served.peak() < before + 400 * MB
    assert caller.execute(caller.bind(handle, shared_world.row(x=7))) == [{"x": 7}]


def test_a_process_whose_memory_is_not_bounded_does_not_serve() -> None:
    with pytest.raises(SettingInvalid, match="cannot be bounded"):
        require_bounded()


def test_who_sends_values_has_a_place_taken_until_they_came(shared_world, member, packed) -> None:
    handle = member.prepare("SELECT ? AS x").handle
    command = packed(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
    descriptor = flight.FlightDescriptor.for_command(command)
    row = shared_world.row(x=1)
    most = shared_world.marketplace.settings.queries_per_person
    silent = [member.client.do_put(descriptor, row.schema, member.options)[0] for _ in range(most)]
    assert shared_world.until(lambda: _refused_as_busy(member, handle, row))
    for writer in silent:
        with pytest.raises(flight.FlightError, match="No row of values came"):
            writer.close()
    assert member.execute(member.bind(handle, row)) == [{"x": 1}]


def _refused_as_busy(member, handle: bytes, row: pa.RecordBatch) -> bool:
    try:
        member.bind(handle, row)
    except flight.FlightUnavailableError as refused:
        return "Busy" in str(refused)
    return False
