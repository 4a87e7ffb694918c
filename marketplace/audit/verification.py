"""Checks a whole log against itself, its signed checkpoints, and what readers kept.

Needs the database (or a copy) and the public key, not the service. It reads the log once, page by
page, so memory does not grow with the log.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Select, Table, and_, exists, func, or_, select

from marketplace.audit import records
from marketplace.audit.backdating import Moments
from marketplace.audit.checkpoint import PublicKey
from marketplace.audit.entries import Entry, EntryKind, Fact, record
from marketplace.audit.entry_check import EntryCheck, StoredEntry, read_entries
from marketplace.audit.marks import Mark, Marks
from marketplace.audit.rebuild import Rebuild, changed_node
from marketplace.audit.reordering import explain
from marketplace.database import Database

_MOST_FINDINGS = 200
_MOST_LOOSE_ENDS = 20
_WIDEST_GAP = 100_000


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What verification found: nothing (`ok`), or what is wrong and where, in plain sentences.

    `size` is the number of entries in the tree, `pending` of those that wait for their place and
    are not covered by it yet.
    """

    ok: bool
    size: int
    pending: int
    findings: tuple[str, ...]


def verify(
    database: Database,
    public_keys: Sequence[PublicKey],
    receipts: Sequence[str] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Check every entry, tree node and checkpoint, and that the log still holds what was handed out.

    `receipts` are texts that somebody kept: receipts or checkpoints. Only they can expose that the
    whole database was put back to an older state, or replaced by another one signed with the same
    key. `progress` is called with the entries done and their total.
    """
    with database.reading() as connection:
        log = _Log(connection, _measure(connection), public_keys, receipts)
        log.check(progress or _unseen)
        pending = _count(connection, records.pending)
    return Verification(
        ok=not log.findings, size=log.end, pending=pending, findings=tuple(log.findings)
    )


def record_failure(database: Database, found: Verification, *, by: str, now: datetime) -> str:
    """Write into the log that it did not verify, and return the entry; an incident from then on.

    Raises AuditUnavailable.
    """
    facts: dict[str, Fact] = {"size": found.size, "findings": len(found.findings)}
    said = Entry(kind=EntryKind.AUDIT_FAILED, facts=facts, person={"name": by})
    with database.writing() as connection:
        return record(connection, said, now=now)


def _unseen(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


class _Extent(NamedTuple):
    # How many entries the tree has, its head says, and its newest checkpoint covers.
    end: int
    head: int | None
    signed: int


def _measure(connection: Connection) -> _Extent:
    # One statement: on a running service the three agree only within one snapshot.
    last = select(func.max(records.leaves.c.position)).scalar_subquery()
    head = select(func.max(records.head.c.size)).where(records.head.c.id == 1).scalar_subquery()
    newest = select(func.max(records.checkpoints.c.size)).scalar_subquery()
    position, size, signed = connection.execute(select(last, head, newest)).one()
    return _Extent(
        end=0 if position is None else position + 1,
        head=size,
        signed=-1 if signed is None else signed,
    )


class _Log:
    """One pass over the log."""

    def __init__(
        self,
        connection: Connection,
        extent: _Extent,
        keys: Sequence[PublicKey],
        receipts: Sequence[str],
    ) -> None:
        self._connection = connection
        self._head_size = extent.head
        self._entries = EntryCheck(connection, keys)
        self._marks = Marks(connection, keys, receipts, extent.signed)
        self._rebuild = Rebuild()
        self._moments = Moments()
        self._followed = True  # whether the tree could be rebuilt so far
        self._agreed = -1  # the largest size at which it had the root that was signed
        self._diverged = False
        self.findings: list[str] = []
        self.end = extent.end

    def check(self, progress: Callable[[int, int], None]) -> None:
        self._compare()
        expected = 0
        for page in read_entries(self._connection, self.end):
            self._check_page(page, expected)
            expected = page[-1].position + 1
            progress(expected, self.end)
        self._say(self._moments.rest())
        self._say(self._rest_of_marks())
        self._say(self._wrong_nodes())
        self._say(self._wrong_head())
        self._say(_loose_ends(self._connection))
        self._say(self._marks.findings)

    def _say(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            if len(self.findings) < _MOST_FINDINGS:
                self.findings.append(sentence)
            elif len(self.findings) == _MOST_FINDINGS:
                self.findings.append("There is more than can be listed here.")

    def _check_page(self, page: Sequence[StoredEntry], expected: int) -> None:
        last = page[-1].position
        self._followed = self._followed and last - expected < _WIDEST_GAP
        stored = self._stored_nodes(expected, last + 1) if self._followed else {}
        for row in page:
            self._check_gap(expected, row.position, stored)
            leaf, sentences = self._entries.check(row, self._rebuild)
            self._say(sentences or self._moments.check(row))
            self._append(leaf, stored)
            expected = row.position + 1

    def _check_gap(self, first: int, end: int, stored: Mapping[tuple[int, int], bytes]) -> None:
        if first < end:
            self._say([f"{_positions(first, end)} removed from the tree."])
            for _ in range(first, end if self._followed else first):
                self._append(None, stored)

    def _append(self, leaf: bytes | None, stored: Mapping[tuple[int, int], bytes]) -> None:
        if self._followed:
            self._say(self._rebuild.append(leaf, stored))
            self._compare()

    def _stored_nodes(self, first: int, end: int) -> dict[tuple[int, int], bytes]:
        nodes = records.nodes.c
        completed = [
            and_(nodes.level == level, nodes.number >= first >> level, nodes.number < end >> level)
            for level in range(1, end.bit_length())
        ]
        if not completed:
            return {}
        chosen = select(nodes.level, nodes.number, nodes.hash).where(or_(*completed))
        return {
            (level, number): digest for level, number, digest in self._connection.execute(chosen)
        }

    def _compare(self) -> None:
        for mark in self._marks.up_to(self._rebuild.size):
            root = self._rebuild.root()
            if root == mark.root:
                self._agreed = mark.size
            elif root is None:
                self._say(_incomparable(mark))
            else:
                self._say(self._disagreement(mark))

    def _disagreement(self, mark: Mark) -> Iterator[str]:
        if mark.kept:
            yield (
                f"The log's first {mark.size} entries are not those that {mark.kept} was given "
                "for: the log was altered or replaced."
            )
        elif not self._diverged:
            self._diverged = True
            yield (
                f"The log does not lead to its signed checkpoint of size {mark.size}: between "
                f"positions {max(self._agreed, 0)} and {mark.size - 1} an entry was changed, "
                "added, removed or moved."
            )

    def _rest_of_marks(self) -> Iterator[str]:
        signed = self.end
        for mark in self._marks.rest():
            if mark.size <= self.end:
                yield from _incomparable(mark)
            elif mark.kept:
                yield (
                    f"The log has {self.end} entries, but {mark.kept} was given when it had "
                    f"{mark.size}: the log was restored to an older state, or cut."
                )
            else:
                signed = max(signed, mark.size)
        if signed > self.end:
            yield f"{_positions(self.end, signed)} removed: a signed checkpoint covers them."

    def _wrong_nodes(self) -> Iterator[str]:
        suspects = self._rebuild.suspects()
        if self._agreed == self._rebuild.size:
            yield from map(changed_node, suspects)
        else:
            yield from explain(self._connection, suspects)

    def _wrong_head(self) -> Iterator[str]:
        root = self._connection.execute(
            select(records.head.c.root).where(records.head.c.id == 1)
        ).scalar()
        known = self._rebuild.root() if self._followed else None
        if self._head_size is None and self.end:
            yield "The tree's head is missing."
        elif self._head_size is not None and self._head_size != self.end:
            yield f"The tree's head says {self._head_size} entries, but the tree has {self.end}."
        elif root is not None and known is not None and root != known:
            yield "The tree's head has another root than the entries lead to."
        if known is not None and not self._diverged and self._agreed < self.end:
            yield f"{_positions(max(self._agreed, 0), self.end)} covered by no signed checkpoint."


def _incomparable(mark: Mark) -> Iterator[str]:
    if mark.kept:
        yield f"Too much is missing to compare the log with {mark.kept}."


def _positions(first: int, end: int) -> str:
    if end - first == 1:
        return f"The entry at position {first} was"
    return f"The entries at positions {first} to {end - 1} were"


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _loose_ends(connection: Connection) -> Iterator[str]:
    """Rows that belong to nothing; each list is cut, since one already proves the damage."""
    entries, leaves = records.entries.c, records.leaves.c
    pending, bodies = records.pending.c, records.bodies.c
    placed = exists().where(leaves.entry_id == entries.id)
    waiting = exists().where(pending.entry_id == entries.id)
    for identifier in _some(connection, select(entries.id).where(~placed, ~waiting)):
        yield f"The entry {identifier} has no place in the tree: it was added or its place removed."
    content = exists().where(entries.id == pending.entry_id)
    for identifier in _some(connection, select(pending.entry_id).where(~content)):
        yield f"The entry {identifier} was removed while it waited for its place."
    owner = exists().where(entries.id == bodies.entry_id)
    for identifier in _some(connection, select(bodies.entry_id).where(~owner)):
        yield f"There are personal details for an entry {identifier} that is not there."
    again = exists().where(leaves.entry_id == pending.entry_id)
    for identifier in _some(connection, select(pending.entry_id).where(again)):
        yield f"The entry {identifier} has a place and waits for another: it was put back."


def _some(connection: Connection, chosen: Select[str]) -> Sequence[str]:
    return connection.execute(chosen.limit(_MOST_LOOSE_ENDS)).scalars().all()
