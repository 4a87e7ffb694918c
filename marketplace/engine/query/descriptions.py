"""What statements were described as, kept for a while.

A description without values follows from the text of the statement and from the view map alone: the
files of a map are named by their content. Who may ask is decided before, each time.
"""

from collections import OrderedDict
from threading import Lock

import msgspec

from marketplace.engine.query.view_map import ViewMap

_MOST_KEPT = 512

# Longer ones cost little beside their query, and all together must stay small.
_MOST_BYTES_OF_ONE = 16 * 1024
_MOST_FILES_OF_ONE = 64
_MOST_TABLES_OF_ONE = 16


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A statement's result before it is run: an Arrow IPC stream without rows, and how many
    parameters the statement has."""

    schema: bytes
    parameters: int


class Descriptions:
    """The small descriptions asked for last. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[ViewMap, str], Described] = OrderedDict()
        self._guard = Lock()

    def find(self, views: ViewMap, sql: str) -> Described | None:
        """What the statement was described as over the same tables, where it is kept."""
        with self._guard:
            found = self._kept.get((views, sql))
            if found is not None:
                self._kept.move_to_end((views, sql))
            return found

    def keep(self, views: ViewMap, sql: str, described: Described) -> None:
        """Keep a description, unless it is large."""
        if not _is_small(views, sql, described):
            return
        with self._guard:
            self._kept[views, sql] = described
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


def _is_small(views: ViewMap, sql: str, described: Described) -> bool:
    return (
        len(views) <= _MOST_TABLES_OF_ONE
        and sum(len(table.files) for table in views) <= _MOST_FILES_OF_ONE
        and len(sql) + len(described.schema) <= _MOST_BYTES_OF_ONE
    )
