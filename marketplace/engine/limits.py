"""What one confined process may use, and what one result may hold."""

import msgspec

_MEBIBYTE = 1024**2


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one confined process. Sizes are in bytes, times in seconds.

    `memory` is resident memory, watched from outside: a process over it is killed. An address-space
    limit would break honest queries, and DuckDB's own limit is not kept by every function.
    `deadline` counts the time that the process lets its caller wait, not the time in which it waits
    for a slow reader: `stall` bounds each such wait and `delivery` all of them together, so that no
    reader keeps a process for longer than `deadline` and `delivery`. `scratch` bounds what is spilled
    to disk, and any one file that is written; `result` the bytes of one answer.
    `spool` bounds what of an answer is kept on disk for a reader that does not keep up.
    `require_confinement` refuses to work where the kernel cannot confine the process.
    """

    memory: int = 2048 * _MEBIBYTE
    threads: int = 2
    deadline: float = 60.0
    stall: float = 60.0
    delivery: float = 3600.0
    scratch: int = 16 * 1024 * _MEBIBYTE
    spool: int = 256 * _MEBIBYTE
    result: int = 16 * 1024 * _MEBIBYTE
    require_confinement: bool = False

    @property
    def engine_memory(self) -> int:
        """DuckDB's share of `memory`; the rest is for the interpreter and a result on its way."""
        return max(self.memory * 7 // 10, 64 * _MEBIBYTE)


class ResultLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The most that an agreement lets out in one result; None where it sets no bound.

    `bytes` are those of the encoded result.
    """

    rows: int | None = None
    bytes: int | None = None
