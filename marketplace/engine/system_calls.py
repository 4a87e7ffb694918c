"""What a confined process may not even ask of the kernel: a seccomp filter of a few dozen instructions.

Landlock fences files, TCP and signals. This fences what it has no rule for: sockets of any other
kind, other processes' memory, new processes, and the parts of the kernel that only an attacker uses.
A call that is denied fails with EPERM, so that a library which tries one goes on without it.
"""

import ctypes
import errno
import platform
import struct

# By machine: the kernel's name for it, and the number of each call that is denied.
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    "x86_64": {
        "socket": 41, "socketpair": 53, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101,
        "personality": 135, "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165,
        "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "iopl": 172, "ioperm": 173,
        "init_module": 175, "delete_module": 176, "quotactl": 179, "kexec_load": 246,
        "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "bpf": 321, "execveat": 322,
        "userfaultfd": 323,
    },
    "aarch64": {
        "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "quotactl": 60, "acct": 89,
        "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105,
        "delete_module": 106, "ptrace": 117, "reboot": 142, "socket": 198, "socketpair": 199,
        "add_key": 217, "request_key": 218, "keyctl": 219, "execve": 221, "swapon": 224,
        "swapoff": 225, "perf_event_open": 241, "fanotify_init": 262, "name_to_handle_at": 264,
        "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "bpf": 280, "execveat": 281,
        "userfaultfd": 282,
    },
}  # fmt: skip
# Calls that are new enough to have one number everywhere.
_DENIED_EVERYWHERE = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "pidfd_getfd": 438,
    "mount_setattr": 442,
}  # fmt: skip
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_CLONE_THREAD = 0x00010000
_OTHER_NUMBERS = 0x40000000  # x86-64 has a second set of numbers from here on

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_system_calls() -> bool:
    """Deny them to this thread and to all that it starts, for good; False where that cannot be.

    The process must have given up new privileges before.
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        return False
    code = _program(machine)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _program(machine: str) -> bytes:
    """The filter, for numbers as that machine counts them."""
    denied = sorted({*_DENIED[machine].values(), *_DENIED_EVERYWHERE.values()})
    refuse = _step(_RETURN, _FAIL | errno.EPERM)
    allow = _step(_RETURN, _ALLOW)
    return b"".join(
        [
            _step(_LOAD, _ARCH_AT),
            _step(_EQUAL, _AUDIT_ARCH[machine], then=1),
            refuse,  # called by the numbers of another machine, which mean other things
            _step(_LOAD, _NUMBER_AT),
            _step(_AT_LEAST, _OTHER_NUMBERS, otherwise=1),
            refuse,
            # Where `clone3` is not known, libraries start their threads by `clone`, whose flags a
            # filter can see: threads may be started, processes may not.
            _step(_EQUAL, _CLONE3, otherwise=1),
            _step(_RETURN, _FAIL | errno.ENOSYS),
            _step(_EQUAL, _CLONE[machine], otherwise=4),
            _step(_LOAD, _FIRST_ARGUMENT_AT),
            _step(_ANY_BIT, _CLONE_THREAD, then=1),
            refuse,
            allow,
            *(_step(_EQUAL, number, then=len(denied) - n) for n, number in enumerate(denied)),
            allow,
            refuse,
        ]
    )


def _step(code: int, operand: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; a comparison skips `then` instructions where it holds, else `otherwise`."""
    return struct.pack("=HBBI", code, then, otherwise, operand)
