"""What the kernel holds a worker to, seen from inside one and from outside."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from marketplace.engine.confinement import landlock_version
from marketplace.engine.extract.extract_messages import ExtractColumn, ExtractRequest
from marketplace.engine.limits import Limits
from marketplace.engine.process import ConfinedProcess, perform
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.view_map import BoundTable
from marketplace.engine.query.workers import QueryWorkers
from marketplace.engine.roles import Role
from marketplace.errors import QueryFailed, WorkerLost

WriteParquet = Callable[[str, str], Path]
Bind = Callable[..., BoundTable]

needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")

# Confined to one file and one folder, try everything else and print what was possible.
PROBE = """
import ctypes, json, os, platform, socket, subprocess, sys, threading
from pathlib import Path
from marketplace.engine.confinement import confine
from marketplace.engine.limits import Limits

mine, other, folder, port, parent, local = sys.argv[1:]
machine = platform.machine()
libc = ctypes.CDLL(None, use_errno=True)
confine(Limits(), read=(Path(mine),), write=(Path(folder),))

def possible(action):
    try:
        action()
    except OSError:
        return False
    return True

def called(number, *arguments):
    # What is denied before anything else is looked at fails with EPERM, whatever the arguments.
    if libc.syscall(number, *arguments) < 0 and ctypes.get_errno() == 1:
        raise PermissionError

tried = {
    "read mine": lambda: open(mine).read(),
    "write mine": lambda: open(mine, "w"),
    "read other": lambda: open(other).read(),
    "read other through a link": lambda: (os.symlink(other, folder + "/link"), open(folder + "/link").read()),
    "list its folder": lambda: os.listdir(Path(other).parent),
    "write scratch": lambda: open(folder + "/spill", "w").write("x"),
    "read passwd": lambda: open("/etc/passwd").read(),
    "read the parent's environment": lambda: open(f"/proc/{parent}/environ").read(),
    "read own control group": lambda: open("/proc/self/cgroup").read(),
    "send a datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX).connect(local),
    "pair sockets": socket.socketpair,
    "fork": lambda: os.fork() or os._exit(0),
    "read another's memory": lambda: called(310 if machine == "x86_64" else 270, int(parent), 0, 0, 0, 0, 0),
    "trace another": lambda: called(101 if machine == "x86_64" else 117, 16, int(parent), 0, 0),
    "set up io_uring": lambda: called(425, 1, 0),
    "load a program into the kernel": lambda: called(321 if machine == "x86_64" else 280, 0, 0, 0),
    "use a keyring": lambda: called(250 if machine == "x86_64" else 219, 0, 0, 0),
    "leave its namespaces": lambda: called(272 if machine == "x86_64" else 97, 0x10000000),
    "open another's descriptor": lambda: called(434, int(parent), 0),
    "start a thread": lambda: threading.Thread(target=int).start(),
    "connect": lambda: socket.create_connection(("127.0.0.1", int(port)), timeout=5),
    "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "signal the parent": lambda: os.kill(int(parent), 0),
    "run a program": lambda: subprocess.run(["/bin/true"]),
}
print(json.dumps({name: possible(action) for name, action in tried.items()}))
"""


@needs_landlock
def test_a_confined_process_reaches_its_own_files_and_nothing_else(tmp_path: Path) -> None:
    mine, other, folder = tmp_path / "mine", tmp_path / "other", tmp_path / "scratch"
    mine.write_text("mine")
    other.write_text("other")
    folder.mkdir()
    local = Path(tempfile.mkdtemp()) / "socket"  # a path for a socket must be short
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(local))
        unix.listen()
        arguments = [mine, other, folder, server.getsockname()[1], os.getpid(), local]
        probe = subprocess.run(
            [sys.executable, "-c", PROBE, *map(str, arguments)],
            capture_output=True,
            check=True,
            text=True,
        )

    found: dict[str, Any] = json.loads(probe.stdout)
    allowed = {name for name, possible in found.items() if possible}
    assert allowed == {"read mine", "write scratch", "read own control group", "start a thread"}


@needs_landlock
def test_the_kernel_refuses_the_file_of_another_map_where_the_engine_would_not(
    write_parquet: WriteParquet, limits: Limits, tmp_path: Path
) -> None:
    # The extract's instance is not locked by settings: what stops it is the kernel alone.
    mine = write_parquet("mine.parquet", "SELECT 1 AS id")
    other = write_parquet("other.parquet", "SELECT 2 AS id")
    into = tmp_path / "into"
    into.mkdir()
    request = ExtractRequest((str(other),), (ExtractColumn("id"),), (), str(into))

    def extract(read: Path) -> bytes:
        return perform(
            Role.EXTRACT, request, read=(read,), write=(into,), limits=limits, scratch=into
        )

    with pytest.raises(QueryFailed, match="could not be written"):
        extract(mine)
    assert extract(other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files, of which a worker is bound to one."""
    folder = tmp_path_factory.mktemp("published")
    for name in ("mine", "other"):
        duckdb.sql(f"COPY (SELECT 1 AS id) TO '{folder / name}.parquet' (FORMAT parquet)")
    return folder


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "COPY (SELECT 1) TO '{mine}'",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/x.db' AS x",
        "INSTALL httpfs",
        "LOAD '{folder}/evil.duckdb_extension'",
        "SET enable_external_access = true",
        "SET python_enable_replacements = true",
        "CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')",
        "EXPORT DATABASE '{folder}/out'",
        "CREATE OR REPLACE VIEW a.main.b AS SELECT 1",
        "DROP VIEW a.b.b",
        "SELECT * FROM stolen",
    ],
)
def test_the_engine_refuses_again_what_slips_past_the_check(
    workers: QueryWorkers, bound: Bind, folder: Path, sql: str
) -> None:
    mine, other = folder / "mine.parquet", folder / "other.parquet"
    before = mine.read_bytes()

    with pytest.raises(QueryFailed) as failed:
        list(
            workers.run(
                (bound("a.b", mine),),
                sql.format(mine=mine, other=other, folder=folder),
                Encoding(OutputFormat.CSV),
            )
        )
    assert str(mine) not in failed.value.detail
    assert mine.read_bytes() == before
    assert sorted(folder.iterdir()) == [mine, other]


def test_a_worker_knows_no_setting_and_no_secret_of_the_service(
    workers: QueryWorkers, monkeypatch: pytest.MonkeyPatch, limits: Limits, tmp_path: Path
) -> None:
    monkeypatch.setenv("MARKETPLACE_DATABASE", "postgresql://user:secret@host/db")
    process = ConfinedProcess.start(Role.QUERY, limits, scratch=tmp_path)
    try:
        process.warm()
        environment = Path(f"/proc/{process.pid}/environ").read_text()
        arguments = Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.close()

    names = {entry.partition("=")[0] for entry in environment.split("\0") if entry}
    ours = {"HOME", "TMPDIR", "LANG", "TZ"}
    of_libraries = {"OPENBLAS_NUM_THREADS", "JE_ARROW_MALLOC_CONF"}
    of_libraries |= {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert names <= ours | of_libraries
    assert "secret" not in environment + arguments
    assert workers.confinement


def test_a_worker_has_no_new_privileges_no_core_and_no_open_file_of_the_service(
    workers: QueryWorkers,
) -> None:
    stream = workers.run((), "SELECT i FROM range(3000000) t(i)", Encoding(OutputFormat.ARROW))
    status = Path(f"/proc/{stream.pid}/status").read_text()
    bounds = Path(f"/proc/{stream.pid}/limits").read_text()
    opened = {str(link.readlink()) for link in Path(f"/proc/{stream.pid}/fd").iterdir()}
    stream.close()

    assert "NoNewPrivs:\t1" in status
    core = next(line for line in bounds.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    # The memory is what it hands its answers over in: no other process has it open.
    assert {name.partition(":")[0] for name in opened} == {"pipe", "/dev/null", "/memfd"}


def test_a_worker_leaves_when_the_service_is_gone(tmp_path: Path) -> None:
    # The child of a process that dies without a word, in the middle of an endless query.
    script = """
import os, sys
from pathlib import Path
from marketplace.engine.limits import Limits
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.workers import QueryWorkers
workers = QueryWorkers(Limits(), places=1, spares=0, scratch=Path(sys.argv[1]))
stream = workers.run((), "SELECT i FROM range(100000000000) t(i)", Encoding(OutputFormat.ARROW))
print(stream.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True
    )
    worker = int(parent.stdout)

    assert parent.returncode == -9
    assert ended(worker)


def ended(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)


def test_a_process_that_cannot_start_is_told_as_lost(
    tmp_path: Path,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    process = ConfinedProcess.start(Role.QUERY, limits, scratch=tmp_path)
    try:
        with pytest.raises(WorkerLost):
            process.warm()
    finally:
        process.close()
    assert "could not start" in caplog.text
    assert list(tmp_path.iterdir()) == []


WITHOUT_LANDLOCK = """
import sys
from marketplace.engine import confinement
from marketplace.engine.limits import Limits
from marketplace.errors import ConfinementMissing

confinement.landlock_version = lambda: 0
confinement.filter_system_calls = lambda: False
print(confinement.confine(Limits(), read=(), write=()))
try:
    confinement.confine(Limits(require_confinement=True), read=(), write=())
except ConfinementMissing as missing:
    print(missing.detail)
confinement.landlock_version = lambda: 1
confinement._restrict = lambda *_: None
try:
    confinement.confine(Limits(require_confinement=True), read=(), write=())
except ConfinementMissing as missing:
    print(missing.detail)
"""


def test_where_the_kernel_lacks_landlock_the_service_says_so_and_refuses_where_it_is_required() -> (
    None
):
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANDLOCK], capture_output=True, check=True, text=True
    ).stdout.splitlines()

    assert said[0] == "no Landlock, no filter of system calls"
    assert "could read files that are not its own" in said[1]
    assert "could open other sockets" in said[2]


@needs_landlock
def test_a_process_that_already_has_threads_is_not_confined() -> None:
    # Landlock would not bind the other threads, so this must never pass unnoticed.
    script = """
import threading
from marketplace.engine.confinement import confine
from marketplace.engine.limits import Limits
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
try:
    confine(Limits(), read=(), write=())
except Exception as error:
    print(type(error).__name__)
stop.set()
"""
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )

    assert said.stdout == "ConfinementMissing\n"
