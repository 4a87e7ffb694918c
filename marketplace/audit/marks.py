"""Sizes at which the log's key signed for a root: its own checkpoints, and what readers kept."""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from marketplace.audit import records
from marketplace.audit.checkpoint import PublicKey, open_checkpoint
from marketplace.audit.receipt import FIRST_LINE, Receipt
from marketplace.errors import ProofInvalid

_PAGE = 256


class Mark(NamedTuple):
    """A signed root at a size. `kept` names a reader's proof; it is empty for a stored checkpoint."""

    size: int
    root: bytes
    kept: str = ""


class Marks:
    """All marks in order of size; what cannot be one is a finding."""

    def __init__(
        self,
        connection: Connection,
        keys: Sequence[PublicKey],
        receipts: Sequence[str],
        newest: int,
    ) -> None:
        self.findings: list[str] = []
        self._keys = keys
        kept = sorted(self._kept(receipts))
        self._marks = heapq.merge(self._stored(connection, newest), kept, key=_size_of)
        self._next = next(self._marks, None)

    def up_to(self, size: int) -> Iterator[Mark]:
        """The marks that were not given before, of this size or smaller."""
        while self._next is not None and self._next.size <= size:
            yield self._next
            self._next = next(self._marks, None)

    def rest(self) -> Iterator[Mark]:
        """The marks that are left."""
        while self._next is not None:
            yield self._next
            self._next = next(self._marks, None)

    def _kept(self, receipts: Sequence[str]) -> Iterator[Mark]:
        for number, text in enumerate(receipts, start=1):
            try:
                yield self._read_kept(number, text)
            except ProofInvalid as error:
                self.findings.append(
                    f"What was kept as number {number} proves nothing. {error.detail}"
                )

    def _read_kept(self, number: int, text: str) -> Mark:
        if not text.startswith(FIRST_LINE):
            checkpoint = open_checkpoint(text, self._keys)
            return Mark(checkpoint.size, checkpoint.root, f"the checkpoint kept as number {number}")
        receipt = Receipt.parse(text)
        checkpoint = receipt.check(self._keys)
        name = f"the receipt kept as number {number}, of the entry {receipt.entry.id}"
        return Mark(checkpoint.size, checkpoint.root, name)

    def _stored(self, connection: Connection, newest: int) -> Iterator[Mark]:
        table, after = records.checkpoints.c, -1
        chosen = select(table.size, table.note).where(table.size <= newest).order_by(table.size)
        while rows := connection.execute(chosen.where(table.size > after).limit(_PAGE)).all():
            for size, note in rows:
                yield from self._read_stored(size, note)
            after = rows[-1].size

    def _read_stored(self, size: int, note: str) -> Iterator[Mark]:
        try:
            checkpoint = open_checkpoint(note, self._keys)
        except ProofInvalid as error:
            self.findings.append(f"The stored checkpoint of size {size} is false. {error.detail}")
            return
        if checkpoint.size == size:
            yield Mark(size, checkpoint.root)
        else:
            self.findings.append(
                f"The stored checkpoint of size {size} says size {checkpoint.size}: it was moved."
            )


def _size_of(mark: Mark) -> int:
    return mark.size
