"""Every write of what a read's answer rests on moves the policy revision.

A warm read gives out again what was found under an unchanged revision, so a write that does not
move it would go unseen. Here is every place that writes one of those tables, and how it does;
`tests/journeys/test_revision.py` does every act that a person can and sees the revision move.
"""

import ast
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("access_policies", "catalogue", "connectors", "marketplace")


class Moves(Enum):
    """How a writer moves the revision."""

    ITSELF = "it advances the revision"
    CALLER = "it asks its caller to, who is held by the journey"
    NOTHING_KNOWN = "what it enters is new, so that nobody's answer can rest on it yet"
    NOTHING_READ = "it writes what no answer of a read is made of"


WRITERS = {
    "access_policies/rules.py:end": Moves.CALLER,
    "access_policies/rules.py:write": Moves.CALLER,
    "access_policies/stages.py:invite": Moves.CALLER,
    "access_policies/stages.py:uninvite": Moves.CALLER,
    "access_policies/stages.py:write": Moves.CALLER,
    "catalogue/datasets.py:register": Moves.NOTHING_KNOWN,
    "catalogue/datasets.py:set_handling": Moves.CALLER,
    "catalogue/release_records.py:write_manifest": Moves.CALLER,
    "catalogue/releases.py:_take_number": Moves.CALLER,
    "catalogue/releases.py:_write_contracts": Moves.CALLER,
    "marketplace/identity/appointments.py:appoint": Moves.ITSELF,
    "marketplace/identity/appointments.py:end": Moves.ITSELF,
    "marketplace/identity/organisations.py:register": Moves.NOTHING_KNOWN,
    "marketplace/identity/people.py:register": Moves.NOTHING_KNOWN,
    "marketplace/identity/projects.py:accredit": Moves.ITSELF,
    "marketplace/identity/projects.py:add_member": Moves.ITSELF,
    "marketplace/identity/projects.py:end_membership": Moves.ITSELF,
    "marketplace/identity/projects.py:register": Moves.NOTHING_KNOWN,
    "marketplace/identity/secondments.py:end": Moves.ITSELF,
    "marketplace/identity/secondments.py:register": Moves.ITSELF,
    "marketplace/identity/tokens.py:issue_token": Moves.NOTHING_KNOWN,
    "marketplace/identity/tokens.py:note_use": Moves.NOTHING_READ,
    "marketplace/identity/tokens.py:revoke_token": Moves.ITSELF,
}

# The tables that principals, decisions and newest releases are found in, as their writers name them.
TABLES = {
    "appointments",
    "contracts",
    "datasets",
    "invitations",
    "memberships",
    "organisations",
    "people",
    "projects",
    "release_files",
    "release_tables",
    "releases",
    "rules",
    "secondments",
    "stages",
    "table",
    "tokens",
}


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the code, as `file:name`."""
    for room in ROOMS:
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            if "migrations" not in path.parts:
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.FunctionDef):
                        yield f"{path.relative_to(REPOSITORY)}:{node.name}", node


def called(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """What a function calls, and its first argument."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), ast.unparse(node.args[0]) if node.args else ""


def test_every_writer_is_known_with_how_it_moves_the_revision() -> None:
    found = {
        name
        for name, function in functions()
        for call, table in called(function)
        if call in {"insert", "update", "delete"} and table.rpartition(".")[2] in TABLES
    }
    assert found == WRITERS.keys()


def test_who_says_so_advances_the_revision() -> None:
    advancing = {
        name
        for name, function in functions()
        if "revision.advance" in {call for call, _ in called(function)}
    }
    assert {name for name, how in WRITERS.items() if how is Moves.ITSELF} <= advancing


def test_no_statement_is_written_as_text_past_these_writers() -> None:
    texts = {
        name
        for name, function in functions()
        for call, argument in called(function)
        if call.rpartition(".")[2] in {"text", "exec_driver_sql"}
        and any(word in argument.upper() for word in ("INSERT ", "UPDATE ", "DELETE "))
    }
    assert texts == {"access_policies/revision.py:_ensure_row"}
