"""Which of DuckDB's functions a statement may call: a reviewed list, `functions.csv`.

Every function that the pinned DuckDB has stands in it with a verdict and, where it is refused, the
reason. A new version of DuckDB brings names without a verdict: a test fails until they have one.

    python -m marketplace.engine.query.functions     adds new names (refused), drops those that are gone

A name stands for all of its overloads, so its verdict is that of the worst. A macro may call what a
statement may not, where its own text keeps that harmless; a test names those.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

_LIST = Path(__file__).with_name("functions.csv")
_HEADING = ("name", "kind", "stability", "verdict", "reason")
_NOT_REVIEWED = "not reviewed"

# As DuckDB names them, from the least.
_STABILITIES = {
    "VOLATILE": "volatile",
    "CONSISTENT_WITHIN_QUERY": "in a query",
    "CONSISTENT": "immutable",
}

TAKES_AGGREGATE_BY_NAME = frozenset(
    {"aggregate", "array_aggr", "array_aggregate", "list_aggr", "list_aggregate"}
)
"""Functions whose second argument is the name of an aggregate, which DuckDB looks up by itself."""


class Listed(NamedTuple):
    """One line. `verdict` is `value` (anywhere in an expression), `table` (in FROM too) or `refused`.

    `stability` is what DuckDB says of it: `immutable` (the same values give the same result),
    `in a query` (the same while one statement runs), `volatile`, or nothing of macros and of
    functions in FROM.
    """

    name: str
    kind: str
    stability: str
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


class Installed(NamedTuple):
    """What the installed DuckDB has under one name: its kinds, and the least of its stabilities."""

    kind: str
    stability: str


@cache
def aggregates() -> frozenset[str]:
    """The aggregates that may be called."""
    return frozenset(name for name in values() if "aggregate" in listed()[name].kind.split())


def of_duckdb() -> dict[str, Installed]:
    """The functions of the DuckDB that is installed, by name."""
    import duckdb  # the service itself never imports it

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT function_name, string_agg(DISTINCT function_type, ' ' ORDER BY function_type), "
            "list(DISTINCT stability) FROM duckdb_functions() GROUP BY function_name ORDER BY ALL"
        ).fetchall()
    return {name: Installed(kind, _least(stabilities)) for name, kind, stabilities in rows}


def renew() -> None:
    """Write the list again for the DuckDB that is installed, keeping the verdicts."""
    known = listed()
    with _LIST.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADING)
        for name, installed in of_duckdb().items():
            line = known.get(name)
            verdict = (line.verdict, line.reason) if line else ("refused", _NOT_REVIEWED)
            writer.writerow((name, *installed, *verdict))


def _least(stabilities: list[str | None]) -> str:
    told = (told for stability, told in _STABILITIES.items() if stability in stabilities)
    return next(told, "")


if __name__ == "__main__":
    renew()
