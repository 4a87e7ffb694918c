"""How far a statement is, told by another thread while DuckDB runs it."""

import threading
from collections.abc import Callable
from typing import Any

import duckdb

_PATIENCE = 0.1


def run_reporting(
    connection: duckdb.DuckDBPyConnection, statement: str, report: Callable[[float], None]
) -> tuple[Any, ...]:
    """Run a statement and return its first row, or an empty one where it gives none.

    `report` is given the share that is done, 0 to 1, from another thread; at the end 1, from this.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_PATIENCE):
            share = connection.query_progress() / 100
            if 0 <= share <= 1:
                report(share)

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        row = connection.execute(statement).fetchone()
    finally:
        ended.set()
        watcher.join()
    report(1.0)
    return row or ()
