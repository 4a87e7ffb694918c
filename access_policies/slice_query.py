"""The statements that rules are read by: every combination of values is sought in an index.

They are text in the driver's own form, written once for so many values, because composing a statement
takes longer than running it. And they are written so that no planner can do otherwise, whatever its
statistics say: after ANALYZE both databases would rather seek by the dataset alone, and walk through
all the rules of a popular one.

What else a decision rests on is read along by the same statement, because each one of its own would
cost a round trip, which takes longer than finding the rows.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from access_policies.records import rules as table

COLUMNS = tuple(str(column.name) for column in table.c)
"""The columns of a rule, in the order in which they are read."""

Found = Sequence[Any]
"""A row of rules: its values in the order of COLUMNS."""

Wanted = Mapping[str, Sequence[str]]
"""By column the values of which a row has one; each column has at least one."""

Lengths = tuple[tuple[str, int], ...]


class Beside(NamedTuple):
    """Another table whose rows are read along, each as a row of rules with the rest empty.

    `columns` are its own columns by those of rules that they stand in for, each of the same type.
    """

    table: str
    columns: tuple[tuple[str, str], ...]

    def named(self, found: Found) -> dict[str, Any]:
        """The values of a row of this table by its own columns."""
        row = dict(zip(COLUMNS, found, strict=True))
        return {own: row[column] for column, own in self.columns}


def read(
    connection: Connection, wanted: Wanted, besides: Sequence[tuple[Beside, Wanted]] = ()
) -> tuple[list[Found], ...]:
    """The rows of rules that are wanted, then of each table beside them those wanted of it."""
    told, values = statement(wanted, connection.dialect.name, besides)
    found: tuple[list[Found], ...] = tuple([] for _ in range(1 + len(besides)))
    for place, *row in connection.exec_driver_sql(told, values):
        found[place].append(row)
    return found


def statement(
    wanted: Wanted, dialect: str, besides: Sequence[tuple[Beside, Wanted]] = ()
) -> tuple[str, dict[str, str]]:
    """The statement in the form of the database's driver, and its values by name.

    Every row begins with 0 where it is of rules, and else with the place of its table, from 1.
    """
    values = _values("rule", wanted)
    along = []
    for place, (beside, sought) in enumerate(besides, start=1):
        values |= _values(f"beside_{place}", sought)
        along.append((place, beside, _lengths(sought)))
    return _text(dialect, _lengths(wanted), tuple(along)), values


@lru_cache(maxsize=256)
def _text(dialect: str, lengths: Lengths, along: tuple[tuple[int, Beside, Lengths], ...]) -> str:
    mark = {"sqlite": ":{}", "postgresql": "%({})s"}[dialect]
    rules = _joined(lengths, mark) if dialect == "sqlite" else _listed(lengths, mark)
    besides = (_beside(place, beside, sought, mark) for place, beside, sought in along)
    return " UNION ALL ".join([rules, *besides])


def _joined(lengths: Lengths, mark: str) -> str:
    """SQLite does not reorder a CROSS JOIN, so the rules are sought last, by every column."""
    lists = ", ".join(
        f"{column}_list (wanted) AS (VALUES {_marks(mark, 'rule', column, length, '({})')})"
        for column, length in lengths
    )
    sources = " CROSS JOIN ".join([*(f"{column}_list" for column, _ in lengths), table.name])
    matching = " AND ".join(
        f"{table.name}.{column} = {column}_list.wanted" for column, _ in lengths
    )
    return f"WITH {lists} SELECT 0, {_ALL} FROM {sources} WHERE {matching}"  # noqa: S608 - all names are ours


def _listed(lengths: Lengths, mark: str) -> str:
    """PostgreSQL uses every list of an index's columns, and seeks each combination by itself."""
    matching = _matching(mark, "rule", table.name, lengths)
    return f"SELECT 0, {_ALL} FROM {table.name} WHERE {matching}"  # noqa: S608 - all names are ours


def _beside(place: int, beside: Beside, lengths: Lengths, mark: str) -> str:
    own = dict(beside.columns)
    columns = ", ".join(
        f"{beside.table}.{own[column]}" if column in own else "NULL" for column in COLUMNS
    )
    matching = _matching(mark, f"beside_{place}", beside.table, lengths)
    return f"SELECT {place}, {columns} FROM {beside.table} WHERE {matching}"  # noqa: S608 - as above


def _matching(mark: str, prefix: str, source: str, lengths: Lengths) -> str:
    return " AND ".join(
        f"{source}.{column} IN ({_marks(mark, prefix, column, length, '{}')})"
        for column, length in lengths
    )


def _marks(mark: str, prefix: str, column: str, length: int, form: str) -> str:
    names = (f"{prefix}_{column}_{number}" for number in range(length))
    return ", ".join(form.format(mark.format(name)) for name in names)


def _values(prefix: str, wanted: Wanted) -> dict[str, str]:
    return {
        f"{prefix}_{column}_{number}": value
        for column, values in wanted.items()
        for number, value in enumerate(values)
    }


def _lengths(wanted: Wanted) -> Lengths:
    return tuple((column, len(values)) for column, values in wanted.items())


_ALL = ", ".join(f'{table.name}."{name}"' for name in COLUMNS)
