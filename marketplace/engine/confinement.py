"""What the kernel holds a process to: resource limits, no new privileges, Landlock, and a filter of
system calls (`system_calls.py`).

Landlock (Linux 5.13 and later) needs no privileges. It binds the calling thread and the threads
that it starts later, so it must be applied before DuckDB starts its own. A kernel that has an
older version of it confines less; `confine` says what took hold.
"""

import ctypes
import os
import resource
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from marketplace.engine.limits import Limits
from marketplace.engine.system_calls import filter_system_calls
from marketplace.errors import ConfinementMissing

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1

_READ = _READ_FILE | _READ_DIR
_WRITE = (
    _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

# DuckDB reads its own control group when it starts and aborts where it may not.
_OWN_ENTRIES = (Path("/proc/self"), Path("/sys/fs/cgroup"))
_MOST_OPEN_FILES = 1024


def confine(limits: Limits, *, read: Sequence[Path], write: Sequence[Path]) -> str:
    """Give up everything but reading `read` and writing beneath the folders `write`, for good.

    Returns a sentence on what the kernel holds. Raises ConfinementMissing where it cannot and
    `limits.require_confinement` is set, and where other threads already run.
    """
    _limit_resources(limits)
    _call_prctl(_SET_NO_NEW_PRIVS, 1)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise ConfinementMissing("The process had started threads before it was confined.")
    version = landlock_version()
    if version == 0 and limits.require_confinement:
        raise ConfinementMissing(
            "This kernel has no Landlock, so a worker could read files that are not its own.",
            next_step="Use Linux 5.13 or later with Landlock, or set "
            "MARKETPLACE_REQUIRE_CONFINEMENT to false.",
        )
    if version > 0:
        _restrict(version, read, write)
    filtered = filter_system_calls()
    if not filtered and limits.require_confinement:
        raise ConfinementMissing(
            "This kernel does not filter system calls, so a worker could open other sockets.",
            next_step="Use Linux with seccomp on x86-64 or ARM64, or set "
            "MARKETPLACE_REQUIRE_CONFINEMENT to false.",
        )
    network = "files, TCP" if version >= 4 else "files"
    fenced = f"Landlock version {version} ({network})" if version > 0 else "no Landlock"
    return f"{fenced}, {'system calls filtered' if filtered else 'no filter of system calls'}"


def landlock_version() -> int:
    """The version of Landlock that the kernel has; 0 where it has none."""
    found = _system_call(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    return max(found, 0)


def _limit_resources(limits: Limits) -> None:
    bounds = {
        resource.RLIMIT_CORE: 0,  # a core file would hold the data
        resource.RLIMIT_NOFILE: _MOST_OPEN_FILES,
        resource.RLIMIT_FSIZE: limits.scratch,
    }
    for kind, bound in bounds.items():
        hard = resource.getrlimit(kind)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (value, value))
    # Where the whole machine runs out of memory, the kernel shall take this process first.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _restrict(version: int, read: Sequence[Path], write: Sequence[Path]) -> None:
    files = _FIRST_RIGHTS
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        files |= right if version >= since else 0
    network = 0b11 if version >= 4 else 0  # binding and connecting TCP
    scopes = 0b11 if version >= 6 else 0  # abstract UNIX sockets and signals to others
    attributes = struct.pack("=QQQ", files, network, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(_CREATE_RULESET, attributes[:size], size, 0)
    try:
        for path in (*_OWN_ENTRIES, *read):
            _allow(ruleset, path, _READ & files)
        for path in write:
            _allow(ruleset, path, _WRITE & files)
        _checked(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            rights &= _OF_A_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        _checked(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


_C = ctypes.CDLL(None, use_errno=True)


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    converted = [
        ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_char_p(argument)
        for argument in arguments
    ]
    return int(_C.syscall(ctypes.c_long(number), *converted))


def _checked(number: int, *arguments: int | bytes | None) -> int:
    result = _system_call(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise ConfinementMissing(
            f"The kernel refused to confine a worker ({os.strerror(code)}).",
            next_step="Check that the container's security profile allows Landlock.",
        )
    return result


def _call_prctl(option: int, value: int) -> None:
    if _C.prctl(option, value, 0, 0, 0) != 0:
        raise ConfinementMissing("The kernel refused to give up new privileges for a worker.")
