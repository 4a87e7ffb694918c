"""Parses statements in a process that holds no file, and checks what came out."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from catalogue.errors import Problem
from marketplace.engine.limits import Limits
from marketplace.engine.process import Call, ConfinedProcess
from marketplace.engine.query.parse_messages import Parse
from marketplace.engine.query.statement import Statement, check_text, check_tree
from marketplace.engine.roles import Role
from marketplace.errors import QueryTooLarge, StatementRefused

_PARSE_SECONDS = 10.0
_PARSES_KEPT = 512
_MOST_TREE_BYTES = 32 * 1024**2


class StatementParser:
    """One process that parses, replaced when it is lost; what it found is kept for a while."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._limits = limits
        self._scratch = scratch
        self._lock = threading.Lock()
        self._process: ConfinedProcess | None = None
        self._known: OrderedDict[str, Statement] = OrderedDict()
        self.confinement = ""

    def start(self) -> None:
        """Start the process ahead of the first statement. Raises ConfinementMissing."""
        with self._lock:
            self._ready()

    def parse(self, sql: str) -> Statement:
        """Parse and check. Raises StatementRefused."""
        check_text(sql)
        with self._lock:
            if sql in self._known:
                self._known.move_to_end(sql)
                return self._known[sql]
            tree = self._tree(sql)
        statement = check_tree(sql, tree)
        with self._lock:
            self._known[sql] = statement
            if len(self._known) > _PARSES_KEPT:
                self._known.popitem(last=False)
        return statement

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process = None

    def _tree(self, sql: str) -> bytes:
        process = self._ready()
        call = process.call(Parse(sql), deadline=_PARSE_SECONDS)
        try:
            tree = b"".join(_bounded(call, _MOST_TREE_BYTES))
        except StatementRefused:
            self._settle(process)
            raise
        except Problem as problem:
            self._drop(process)
            raise StatementRefused(
                "The statement could not be parsed in the time and memory that are given for it.",
                next_step="Write it more simply.",
            ) from problem
        self._settle(process)
        return tree

    def _ready(self) -> ConfinedProcess:
        if self._process is not None and not self._process.alive:
            self._drop(self._process)
        if self._process is None:
            process = ConfinedProcess.start(Role.PARSE, self._limits, scratch=self._scratch)
            try:
                process.warm()
                self.confinement = process.confine()
            except BaseException:
                process.close()
                raise
            self._process = process
        return self._process

    def _settle(self, process: ConfinedProcess) -> None:
        if not process.settle():
            self._drop(process)

    def _drop(self, process: ConfinedProcess) -> None:
        process.close()
        self._process = None


def _bounded(call: Call, most: int) -> Iterator[bytes]:
    size = 0
    for frame in call:
        size += len(frame.payload)
        if size > most:
            raise QueryTooLarge("The tree of the statement is too large.")
        yield frame.payload
