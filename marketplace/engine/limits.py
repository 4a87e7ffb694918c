"""What one piece of work in a confined process may use before it is stopped."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one confined process.

    `memory` and `written` are bytes: resident memory of the process, and the files it may leave
    behind (scratch files included). `threads` is how many DuckDB may use. `deadline` is in
    seconds from the start of the work; the process is killed then.
    """

    memory: int = 1024**3
    threads: int = 2
    deadline: float = 3600.0
    written: int = 32 * 1024**3
