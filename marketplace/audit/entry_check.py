"""One stored entry held against its leaf: its document, its repeated columns, its personal body."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Row, select

from marketplace.audit import records
from marketplace.audit.checkpoint import PublicKey, open_checkpoint
from marketplace.audit.entries import (
    Document,
    EntryKind,
    PersonalValue,
    commitment,
    read_body,
)
from marketplace.audit.rebuild import Rebuild
from marketplace.audit.tree import leaf_hash, node_hash
from marketplace.errors import ProofInvalid

StoredEntry = Row[int, str, bytes, str | None, str | None, str | None, str | None]
"""position, entry_id, hash, kind, recorded_at, document, body."""

_PAGE = 256
_MOST_LOOKUPS = 20


def read_entries(connection: Connection, end: int) -> Iterator[Sequence[StoredEntry]]:
    """The entries in the tree before position `end`, in its order, in pages."""
    leaves, entries, bodies = records.leaves, records.entries, records.bodies
    chosen = (
        select(
            leaves.c.position,
            leaves.c.entry_id,
            leaves.c.hash,
            entries.c.kind,
            entries.c.recorded_at,
            entries.c.document,
            bodies.c.body,
        )
        .outerjoin(entries, entries.c.id == leaves.c.entry_id)
        .outerjoin(bodies, bodies.c.entry_id == leaves.c.entry_id)
        .where(leaves.c.position < end)
        .order_by(leaves.c.position)
        .limit(_PAGE)
    )
    after = -1
    while rows := connection.execute(chosen.where(leaves.c.position > after)).all():
        yield rows
        after = rows[-1].position


class EntryCheck:
    """Checks entry after entry, and where one does not fit finds out which side was changed."""

    def __init__(self, connection: Connection, keys: Sequence[PublicKey]) -> None:
        self._connection = connection
        self._keys = keys
        self._lookups = 0

    def check(self, row: StoredEntry, rebuild: Rebuild) -> tuple[bytes, tuple[str, ...]]:
        """The leaf's hash as it must have been, and what is wrong with the entry.

        `rebuild` is the tree before this entry.
        """
        name = f"The entry {row.entry_id} at position {row.position}"
        if row.document is None:
            return row.hash, (f"{name} was removed.",)
        computed = leaf_hash(row.document.encode())
        if computed == row.hash:
            return row.hash, tuple(_faults(self._connection, name, row))
        genuine = self._genuine(row, computed, rebuild)
        if genuine == computed:
            return computed, (f"{name} is as it was, but its leaf in the tree was changed.",)
        home = self._home(computed)
        if home is not None:
            return row.hash, (f"{name} belongs at position {home}: entries were reordered.",)
        return row.hash, (f"{name} was changed: it no longer is what the tree holds.",)

    def _genuine(self, row: StoredEntry, computed: bytes, rebuild: Rebuild) -> bytes | None:
        candidates = (row.hash, computed)
        leaves, nodes = records.leaves.c, records.nodes.c
        above = select(nodes.hash).where(nodes.level == 1, nodes.number == row.position >> 1)
        beside = select(leaves.hash).where(leaves.position == row.position ^ 1)
        parent = self._connection.execute(above).scalar()
        sibling = self._connection.execute(beside).scalar()
        if parent is not None and sibling is not None:
            return next((c for c in candidates if _over(row.position, c, sibling) == parent), None)
        signed = self._signed_root(row.position + 1)
        return next((c for c in candidates if signed and rebuild.root_with(c) == signed), None)

    def _signed_root(self, size: int) -> bytes | None:
        checkpoints = records.checkpoints.c
        chosen = select(checkpoints.note).where(checkpoints.size == size)
        try:
            note = self._connection.execute(chosen).scalar()
            return open_checkpoint(note or "", self._keys).root
        except ProofInvalid:
            return None

    def _home(self, digest: bytes) -> int | None:
        # Reads all leaves, so only for the first few that do not fit.
        self._lookups += 1
        if self._lookups > _MOST_LOOKUPS:
            return None
        leaves = records.leaves.c
        return self._connection.execute(
            select(leaves.position).where(leaves.hash == digest)
        ).scalar()


def _over(position: int, leaf: bytes, sibling: bytes) -> bytes:
    return node_hash(sibling, leaf) if position & 1 else node_hash(leaf, sibling)


def _faults(connection: Connection, name: str, row: StoredEntry) -> Iterator[str]:
    document = _read(row.document or "")
    if document is None:
        yield f"{name} is in the tree but cannot be read."
        return
    repeated = {
        "identifier": (row.entry_id, document.id),
        "kind": (row.kind, document.kind),
        "time": (row.recorded_at, document.recorded_at),
    }
    for column, (stored, said) in repeated.items():
        if stored != said:
            yield f"{name} has another {column} than its document: it was changed."
    if row.body is not None:
        yield from _body_faults(name, row.body, document.person)
    elif document.person and not _was_erased(connection, row.entry_id):
        yield f"{name} lost its personal details, and no erasure of them is recorded."


def _body_faults(name: str, text: str, commitments: Mapping[str, str]) -> Iterator[str]:
    try:
        body: Mapping[str, PersonalValue] = read_body(text)
    except msgspec.DecodeError:
        yield f"{name} has personal details that cannot be read: they were changed."
        return
    for field in sorted(commitments.keys() | body.keys()):
        personal = body.get(field)
        if personal is None or commitments.get(field) != commitment(field, personal):
            yield f'{name} has a personal detail, "{field}", that was changed.'


def _was_erased(connection: Connection, entry_id: str) -> bool:
    # The erasure must itself be an entry of this log that names the entry.
    erasures, entries = records.erasures, records.entries
    said = connection.execute(
        select(entries.c.document)
        .join(erasures, erasures.c.erasure_id == entries.c.id)
        .where(erasures.c.entry_id == entry_id)
    ).scalar()
    document = _read(said or "")
    return (
        document is not None
        and document.kind == EntryKind.PERSON_DETAILS_ERASED
        and document.facts.get("entry") == entry_id
    )


def _read(document: str) -> Document | None:
    try:
        return msgspec.json.decode(document, type=Document)
    except msgspec.DecodeError:
        return None
