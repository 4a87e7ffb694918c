"""How much Arrow may hold in the Flight process, for all calls together.

pyarrow's server decompresses what a client sends before any code of ours sees it, and has no limit
of its own: a message of 64 KB may say that it is 2 GB. So Arrow's allocator gets a reserve when the
process starts, and nothing beyond it. What does not fit is an error of the one call that asks.
"""

from collections.abc import Mapping

import pyarrow as pa

from marketplace.errors import SettingInvalid

# Results pass through as the worker wrote them and need little of this.
_RESERVE = 256 * 1024**2

BOUNDED: Mapping[str, str] = {
    "ARROW_DEFAULT_MEMORY_POOL": "mimalloc",
    "MIMALLOC_RESERVE_OS_MEMORY": f"{_RESERVE // 1024}KiB",
    "MIMALLOC_DISALLOW_OS_ALLOC": "1",
    "MIMALLOC_RETRY_ON_OOM": "0",  # by default it waits 0.4 s for the system to have more
}
"""The environment to start the Flight process in; it is read as Arrow is loaded."""


def require_bounded() -> None:
    """See that more than the reserve cannot be had. Raises SettingInvalid."""
    try:
        pa.allocate_buffer(_RESERVE + 1)
    except MemoryError:
        return
    raise SettingInvalid(
        "Arrow's memory cannot be bounded here, and a small message could use all that there is.",
        next_step="Use a pyarrow with mimalloc, as its wheels on PyPI are.",
    )


def give_back() -> None:
    """Return to the system what Arrow keeps for later."""
    pa.default_memory_pool().release_unused()
