"""What a statement asks of a table's rows, where that is plain from its tree.

Only a conjunction of comparisons of columns with constants, in the WHERE of a SELECT from that table
alone, and only where the statement reads the table there and nowhere else: then no row that fails it
can have a part in the result.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from catalogue.pruning import Among, Between, Condition

Name = tuple[str, ...]


class Constant(StrEnum):
    """What a constant is written as, which decides how DuckDB compares it."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    MOMENT = "moment"


class Filter(msgspec.Struct, frozen=True):
    """A condition on one column, and what its constants are written as."""

    condition: Condition
    constants: Constant

    def compares_exactly(self, sql_type: str) -> bool:
        """Whether DuckDB compares a column of that type with the constants without any rounding."""
        return _COMPARED[self.constants].fullmatch(sql_type) is not None


_WHOLE = "U?(TINY|SMALL|BIG)INT|U?INTEGER"
_COMPARED = {
    Constant.INTEGER: re.compile(rf"{_WHOLE}|DECIMAL\([0-9]+,[0-9]+\)"),
    Constant.DECIMAL: re.compile(rf"{_WHOLE}|DECIMAL\((1?[0-9]),[0-9]+\)"),
    Constant.TEXT: re.compile("VARCHAR|DATE|TIMESTAMP"),
    Constant.MOMENT: re.compile("DATE|TIMESTAMP"),
}
# With more digits DuckDB may compare as floating-point numbers.
_PLAIN_NUMBERS = {
    "INTEGER": (Constant.INTEGER, re.compile(r"-?[0-9]{1,18}", re.ASCII)),
    "NUMERIC": (Constant.DECIMAL, re.compile(r"-?[0-9]{1,9}\.[0-9]{1,9}", re.ASCII)),
}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# A comparison with its sides changed.
_TURNED = {
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
}


def filters(tree: Any) -> dict[Name, tuple[Filter, ...]]:
    """The filters of each table by its name in lower case; only of tables that have some."""
    nodes = list(_nodes(tree))
    read = Counter(_path(node) for node in nodes if node.get("type") == "BASE_TABLE")
    found = {}
    for node in nodes:
        if node.get("type") == "SELECT_NODE" and _reads_a_table_plainly(node):
            table = node["from_table"]
            asked = tuple(_filters(node["where_clause"], table))
            if asked and read[_path(table)] == 1:
                found[_path(table)] = asked
    return found


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _path(table: Mapping[str, Any]) -> Name:
    return tuple(str(part).lower() for part in table["qualified_name"]["path"])


def _reads_a_table_plainly(select: Mapping[str, Any]) -> bool:
    """Whether every row of one table, under its own names, goes through the WHERE: a sample is
    drawn before it."""
    table = select.get("from_table")
    return (
        isinstance(table, dict)
        and table.get("type") == "BASE_TABLE"
        and select.get("where_clause") is not None
        and select.get("sample") is None
        and table.get("sample") is None
        and not table.get("column_name_alias")
    )


def _filters(where: Any, table: Mapping[str, Any]) -> Iterator[Filter]:
    waiting = [where]
    while waiting:
        node = waiting.pop()
        if node.get("type") == "CONJUNCTION_AND":
            waiting.extend(node["children"])
        elif (found := _filter(node, table)) is not None:
            yield found


def _filter(node: Mapping[str, Any], table: Mapping[str, Any]) -> Filter | None:
    """The filter that a part of a conjunction is, if it is one."""
    match node:
        case {"type": "COMPARE_IN", "children": [compared, *others]}:
            constants = others
        case {"type": "COMPARE_BETWEEN", "input": compared, "lower": lower, "upper": upper}:
            constants = [lower, upper]
        case {"class": "COMPARISON", "left": compared, "right": other}:
            constants = [other]
        case _:
            return None
    kind = str(node["type"])
    if _column(compared, table) is None and len(constants) == 1 and kind != "COMPARE_IN":
        compared, constants, kind = constants[0], [compared], _TURNED.get(kind, kind)
    column = _column(compared, table)
    known = [known for node in constants if (known := _constant(node)) is not None]
    written = {written for written, _ in known}
    if column is None or len(known) < len(constants) or len(written) != 1:
        return None
    condition = _condition(kind, column, [text for _, text in known])
    return Filter(condition, written.pop()) if condition is not None else None


def _condition(kind: str, column: str, texts: list[str]) -> Condition | None:
    """The strict comparisons are taken as the ones that are not: a bound itself leaves a file in."""
    match kind:
        case "COMPARE_EQUAL" | "COMPARE_IN":
            return Among(column, frozenset(texts))
        case "COMPARE_BETWEEN":
            return Between(column, least=texts[0], most=texts[1])
        case "COMPARE_GREATERTHAN" | "COMPARE_GREATERTHANOREQUALTO":
            return Between(column, least=texts[0])
        case "COMPARE_LESSTHAN" | "COMPARE_LESSTHANOREQUALTO":
            return Between(column, most=texts[0])
        case _:
            return None


def _column(node: Mapping[str, Any], table: Mapping[str, Any]) -> str | None:
    """The column that is meant, in lower case; None where it is none of the table for certain."""
    if node.get("type") != "COLUMN_REF":
        return None
    *qualified, column = (str(name).lower() for name in node["column_names"])
    shown = str(table.get("alias") or _path(table)[-1]).lower()
    return column if qualified in ([], [shown]) else None


def _constant(node: Mapping[str, Any]) -> tuple[Constant, str] | None:
    match node:
        case {"type": "VALUE_CONSTANT", "literal": {"kind": "STRING", "text": str(text)}}:
            return Constant.TEXT, text
        case {"type": "VALUE_CONSTANT", "literal": {"kind": str(kind), "text": str(text)}}:
            written, plain = _PLAIN_NUMBERS.get(kind, (None, None))
            return (written, text) if written and plain and plain.fullmatch(text) else None
        case {
            "type": "OPERATOR_CAST",
            "child": {"type": "VALUE_CONSTANT", "literal": {"kind": "STRING", "text": str(text)}},
            "type_expr": {"qualified_name": {"path": ["DATE" | "TIMESTAMP" as kind]}},
            "try_cast": False,
        } if kind == "TIMESTAMP" or _DAY.fullmatch(text):  # a date cast from a time loses the time
            return Constant.MOMENT, text
        case _:
            return None
