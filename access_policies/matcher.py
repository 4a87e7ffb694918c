"""The model's matcher, checked against a short list of what it may contain and compiled once.

Casbin parses its matcher again for every decision, and its evaluator lets policy text call methods
of what it is given. A matcher that passes here can do neither: it compares fields, and asks whether
a name is one of the caller's.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType

from access_policies.errors import PolicyError

_FIELDS_OF_CIRCUMSTANCES = frozenset({"now", "audience", "stage", "purpose", "organisation"})
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class Matcher:
    """A compiled matcher; safe to share between threads. Raises PolicyError when it is unfit.

    `reads` are its comparisons, in Python's words: all that it asks of a rule and a request.
    """

    def __init__(self, text: str, names: frozenset[str]) -> None:
        tree = ast.parse(_as_python(text), "model.conf", "eval")
        _check(tree.body, names)
        self.reads = frozenset(_reads(tree.body))
        self._code: CodeType = compile(tree, "model.conf", "eval")

    def matches(self, has_name: Callable[[str, str], bool], values: Mapping[str, object]) -> bool:
        """Evaluate over one rule and one request. Raises TypeError where a value has a wrong type."""
        found = eval(self._code, {"__builtins__": {}, "g": has_name}, values)  # noqa: S307 - checked above
        if found is not True and found is not False:
            raise TypeError("The matcher must give true or false.")
        return found


def _as_python(text: str) -> str:
    return re.sub(r"!(?!=)", " not ", text.replace("&&", " and ").replace("||", " or ")).strip()


def _check(node: ast.expr, names: frozenset[str]) -> None:
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _check(part, names)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, names)
        case ast.Compare(left=left, ops=operations, comparators=others):
            if not all(isinstance(operation, _COMPARISONS) for operation in operations):
                raise _unfit(node)
            for operand in (left, *others):
                _check_operand(operand, names)
        case ast.Call(func=ast.Name(id="g"), args=[first, second], keywords=[]):
            _check_operand(first, names)
            _check_operand(second, names)
        case _:
            raise _unfit(node)


def _check_operand(node: ast.expr, names: frozenset[str]) -> None:
    match node:
        case ast.Constant(value=str()):
            return
        case ast.Name(id=name) if name in names:
            return
        case ast.Attribute(value=ast.Name(id="r_ctx"), attr=field) if (
            field in _FIELDS_OF_CIRCUMSTANCES
        ):
            return
        case _:
            raise _unfit(node)


def _reads(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from _reads(part)
        case ast.UnaryOp(operand=operand):
            yield from _reads(operand)
        case _:
            yield ast.unparse(node)


def _unfit(node: ast.expr) -> PolicyError:
    return PolicyError(
        f"The policy model's matcher may not contain {ast.unparse(node)!r}.",
        next_step="A matcher compares the fields of a rule and a request, and calls only g().",
    )
