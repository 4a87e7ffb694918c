"""Whether a statement may run, and which tables it names.

DuckDB parses the statement, in a worker that holds no file; what is checked here is its own tree,
so that the check and the engine cannot read a statement differently. Only what is known passes:
kinds of nodes, functions, forms of table names. The tree, not the kind of statement, is what counts:
`WITH x AS (INSERT ...) SELECT` is a SELECT to DuckDB.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from catalogue.address import RESERVED_NAMES, check_identifier
from catalogue.errors import InvalidAddress
from marketplace.engine.query import functions
from marketplace.engine.query.conditions import Filter, filters
from marketplace.errors import StatementRefused

_MOST_BYTES = 64 * 1024
_MOST_BRACKETS = 200
_MOST_PARAMETERS = 1000

_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_NODES = frozenset(
    "BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION EXPRESSION_LIST EMPTY PIVOT SHOW_REF".split()  # noqa: SIM905
)
_MODIFIERS = frozenset(
    {"LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER", "DISTINCT_MODIFIER"}
    | {"ORDER_DEFAULT", "ASCENDING", "DESCENDING"}
)
_CLASSES = frozenset(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR "  # noqa: SIM905
    "PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW".split()
)
_TOLD = {
    "INSERT_QUERY_NODE": "INSERT",
    "UPDATE_QUERY_NODE": "UPDATE",
    "DELETE_QUERY_NODE": "DELETE",
    "MERGE_QUERY_NODE": "MERGE",
}
_ONLY_SELECT = "Send one SELECT statement that only reads."
_HOW_TO_NAME = "Name tables as organisation.dataset or organisation.dataset.table."

_WHAT_THERE_IS = (
    "SHOW ALL TABLES and information_schema.tables (columns, schemata ...) list what you may know "
    "of; DESCRIBE organisation.dataset shows columns."
)

Name = tuple[str, ...]

_INFORMATION_SCHEMA = "information_schema"
# Its other views tell of the engine's own, and `views` with their SQL.
_CATALOGUE: frozenset[Name] = frozenset(
    (_INFORMATION_SCHEMA, name)
    for name in (
        "character_sets",
        "check_constraints",
        "columns",
        "constraint_column_usage",
        "constraint_table_usage",
        "key_column_usage",
        "referential_constraints",
        "schemata",
        "table_constraints",
        "tables",
    )
)
_ALL_TABLES = "__show_tables_expanded"  # what DuckDB reads SHOW ALL TABLES as


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that passed the check.

    `tables` are the names it reads in lower case, of two parts (`organisation.dataset`) or three.
    `parameters` are what it calls its parameters, in the order in which values are bound to them:
    numbers where it has `?` or `$1`, else names by where they first stand in the text.
    `of_catalogue`: it reads what tables there are (information_schema) and none of them.
    `filters` are what every row of a table has to meet to have a part in the result, where that is
    plain.
    """

    sql: str
    tables: frozenset[Name]
    parameters: tuple[str, ...] = ()
    of_catalogue: bool = False
    filters: Mapping[Name, tuple[Filter, ...]] = {}


def check_text(sql: str) -> None:
    """Refuse what is not even to be parsed. Raises StatementRefused."""
    try:
        size = len(sql.encode())
    except UnicodeEncodeError:
        raise StatementRefused(
            "The statement is not valid Unicode.", next_step="Send it as UTF-8."
        ) from None
    if size > _MOST_BYTES:
        raise StatementRefused(
            f"The statement has {size} bytes; at most {_MOST_BYTES} are read.",
            next_step="Shorten it, for example by joining a table of values.",
        )
    if "\0" in sql:
        raise StatementRefused(
            "The statement holds a NUL character.", next_step="Remove it and send it again."
        )
    if _brackets(sql) > _MOST_BRACKETS:
        raise StatementRefused(
            f"The statement is nested more than {_MOST_BRACKETS} brackets deep.",
            next_step="Write it with WITH clauses instead.",
        )


def check_values(statement: Statement, values: bytes | None) -> None:
    """Refuse values that are too large to be kept, and their absence. Raises StatementRefused.

    Whether they are as many as the parameters is for the worker to find, which decodes them.
    """
    if values is None and statement.parameters:
        raise StatementRefused(
            f"The statement has parameters, {len(statement.parameters)} in all, and came without "
            "values.",
            next_step="Send a value for each, or write the values into the statement.",
        )
    if values is not None and len(values) > _MOST_BYTES:
        raise StatementRefused(
            f"The values of the parameters have {len(values)} bytes; at most {_MOST_BYTES} are read.",
            next_step="Send fewer or shorter values.",
        )


def check_tree(sql: str, tree: bytes) -> Statement:
    """Check what DuckDB made of `sql`. Raises StatementRefused with the reason."""
    try:
        parsed = msgspec.json.decode(tree)
    except (msgspec.DecodeError, RecursionError):
        raise StatementRefused(
            "The statement is nested too deep to be checked.",
            next_step="Write it with WITH clauses instead.",
        ) from None
    if parsed.get("error", True):
        raise StatementRefused(
            f"DuckDB cannot read the statement: {parsed.get('error_message', 'no reason given')}",
            next_step=_ONLY_SELECT,
        )
    check = _Check()
    check.walk(parsed["statements"])
    return Statement(
        sql=sql,
        tables=frozenset(check.tables),
        of_catalogue=check.of_catalogue,
        filters=filters(parsed["statements"]),
        parameters=_parameters(parsed["statements"][0].get("named_param_map", [])),
    )


class _Check:
    """Walks a tree without recursion, with the names of WITH clauses in scope at each place."""

    def __init__(self) -> None:
        self.tables: set[Name] = set()
        self.of_catalogue = False
        self._waiting: list[tuple[Any, frozenset[str]]] = []

    def walk(self, tree: Any) -> None:
        self._waiting.append((tree, frozenset()))
        while self._waiting:
            value, scope = self._waiting.pop()
            if isinstance(value, dict):
                self._node(value, scope)
            elif isinstance(value, list):
                self._later(value, scope)
        if self.of_catalogue and self.tables:
            raise StatementRefused(
                "The statement reads what tables there are and a table, which no one worker shows.",
                next_step="Ask information_schema and the tables in two statements.",
            )

    def _later(self, values: Iterable[Any], scope: frozenset[str]) -> None:
        self._waiting.extend((value, scope) for value in values if isinstance(value, dict | list))

    def _node(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        kind = node.get("type")
        if isinstance(kind, str):
            _check_kind(kind, node)
        if kind == "BASE_TABLE":
            self._table(node, scope)
        if kind == "SHOW_REF" and not node.get("query"):
            _check_show(node)
            self.of_catalogue = True
        if kind == "TABLE_FUNCTION":
            _check_function(_last_name(node["function"]), functions.tables())
        elif "function_name" in node:
            name = _last_name(node)
            _check_function(name, functions.values())
            if name in functions.TAKES_AGGREGATE_BY_NAME:
                _check_named_aggregate(node)
        if "cte_map" in node:
            scope = self._names_of_with(node["cte_map"], scope)
        if kind == "RECURSIVE_CTE_NODE":
            self._later([node.get("right")], scope | {_fold(str(node.get("cte_name")))})
            node = {key: value for key, value in node.items() if key != "right"}
        self._later((value for key, value in node.items() if key != "cte_map"), scope)

    def _names_of_with(self, with_clause: dict[str, Any], scope: frozenset[str]) -> frozenset[str]:
        """Each query sees the names before it and not its own: there its name means a table."""
        for entry in with_clause["map"]:
            self._later([entry["value"]], scope)
            scope |= {_fold(str(entry["key"]))}
        return scope

    def _table(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        path = tuple(_fold(str(part)) for part in node["qualified_name"]["path"])
        if node.get("at_clause"):
            raise StatementRefused(
                "A table cannot be asked for AT another version or time in SQL.",
                next_step="Leave the AT clause out: the newest release is read.",
            )
        if len(path) == 1 and path[0] in scope:
            return
        if path in _CATALOGUE:
            self.of_catalogue = True
        else:
            self.tables.add(_checked_name(path))


def _check_kind(kind: str, node: dict[str, Any]) -> None:
    if "class" in node:
        known, told = node["class"] in _CLASSES, str(node["class"])
    else:
        known, told = kind in _QUERY_NODES | _TABLE_NODES | _MODIFIERS, kind
    if not known:
        raise StatementRefused(
            f"The statement uses {_TOLD.get(told, told)}, which is not served.",
            next_step=_ONLY_SELECT,
        )


def _check_show(node: dict[str, Any]) -> None:
    """SHOW of no query lists what an instance has; of its lists one is all of tables."""
    if node["qualified_name"]["path"] != [_ALL_TABLES]:
        raise StatementRefused(
            "Of what there is, SHOW lists all tables and nothing else.", next_step=_WHAT_THERE_IS
        )


def _parameters(places: list[dict[str, Any]]) -> tuple[str, ...]:
    """The names by their places, which DuckDB counts from 1 as it meets them in the text."""
    names = {place["value"]: str(place["key"]) for place in places}
    if len(names) > _MOST_PARAMETERS:
        raise StatementRefused(
            f"The statement has {len(names)} parameters; at most {_MOST_PARAMETERS} are bound.",
            next_step="Send a list as one parameter.",
        )
    if set(names) != set(range(1, len(names) + 1)):
        raise StatementRefused(
            "The numbers of the parameters leave one out.",
            next_step="Number them $1, $2 and so on.",
        )
    return tuple(names[place] for place in sorted(names))


def _check_function(
    name: str, allowed: frozenset[str], otherwise: str = "it cannot stand in FROM"
) -> None:
    if name in allowed:
        return
    line = functions.listed().get(name)
    if line is None:
        raise StatementRefused(
            f"There is no function {name[:100]!r}.", next_step="Check its spelling."
        )
    reason = line.reason or otherwise
    raise StatementRefused(
        f"The function {name!r} is not served: {reason}.",
        next_step="Write the statement without it; any table that you may read can be named directly.",
    )


def _check_named_aggregate(node: dict[str, Any]) -> None:
    """What `list_aggregate(list, 'name')` names is called too, and DuckDB would compute the name."""
    _, *others = node.get("arguments") or [None]
    literal = others[0]["expression"].get("literal") if others else None
    if not literal or literal.get("kind") != "STRING":
        raise StatementRefused(
            "The aggregate of a list is not named by a plain text.",
            next_step="Write its name between quotes: list_aggregate(values, 'sum').",
        )
    _check_function(_fold(str(literal["text"])), functions.aggregates(), "it is no aggregate")


def _checked_name(path: Name) -> Name:
    shown = ".".join(path)[:200]
    if path[0] in RESERVED_NAMES or _INFORMATION_SCHEMA in path[:-1]:
        raise StatementRefused(f"{shown!r} belongs to the engine itself.", next_step=_WHAT_THERE_IS)
    try:
        if len(path) not in (2, 3):
            raise InvalidAddress(shown)
        for part in path:
            check_identifier(part)
    except InvalidAddress:
        raise StatementRefused(
            f"{shown!r} is not the address of a table.", next_step=_HOW_TO_NAME
        ) from None
    return path


def _last_name(node: dict[str, Any]) -> str:
    """A function's name without qualifiers: `x.upper()` and `main.upper(x)` are both `upper`.

    No schema holds functions but the engine's own, all of which are in the list by this name.
    """
    path = node.get("qualified_name", {}).get("path") or [node.get("function_name", "")]
    names = {_fold(str(path[-1])), _fold(str(node.get("function_name", path[-1])))}
    if len(names) != 1:
        raise StatementRefused(
            "The statement names a function in two ways.", next_step=_ONLY_SELECT
        )
    return names.pop()


def _fold(name: str) -> str:
    """Lower case for ASCII alone: addresses hold nothing else, and no other rule can be disputed."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in name)


def _brackets(sql: str) -> int:
    deepest = depth = 0
    for letter in sql:
        if letter in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in ")]}":
            depth -= 1
    return deepest
