"""Which of DuckDB's functions a statement may call: a reviewed list, `functions.csv`.

Every function that the pinned DuckDB has stands in it with a verdict and, where it is refused, the
reason. A new version of DuckDB brings names without a verdict: a test fails until they have one.

    python -m marketplace.engine.query.functions     adds new names (refused), drops those that are gone
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

_LIST = Path(__file__).with_name("functions.csv")
_HEADING = ("name", "kind", "verdict", "reason")
_NOT_REVIEWED = "not reviewed"


class Listed(NamedTuple):
    """One line. `verdict` is `value` (anywhere in an expression), `table` (in FROM too) or `refused`."""

    name: str
    kind: str
    verdict: str
    reason: str


@cache
def listed() -> dict[str, Listed]:
    """The list, by name."""
    with _LIST.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        return {row[0]: Listed(*row) for row in rows}


@cache
def values() -> frozenset[str]:
    """The names that may be called in an expression."""
    return frozenset(name for name, line in listed().items() if line.verdict != "refused")


@cache
def tables() -> frozenset[str]:
    """The names that may be called in FROM."""
    return frozenset(name for name, line in listed().items() if line.verdict == "table")


def of_duckdb() -> dict[str, str]:
    """The functions of the DuckDB that is installed, by name, with what kinds they are."""
    import duckdb  # the service itself never imports it

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT function_name, string_agg(DISTINCT function_type, ' ' ORDER BY function_type) "
            "FROM duckdb_functions() GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return dict(rows)


def renew() -> None:
    """Write the list again for the DuckDB that is installed, keeping the verdicts."""
    known = listed()
    with _LIST.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADING)
        for name, kind in of_duckdb().items():
            line = known.get(name)
            verdict = (line.verdict, line.reason) if line else ("refused", _NOT_REVIEWED)
            writer.writerow((name, kind, *verdict))


if __name__ == "__main__":
    renew()
