"""The log as the service runs it: entries get their place, readers get receipts."""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread

from sqlalchemy import Connection, Row, delete, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from marketplace.audit import records
from marketplace.audit.checkpoint import Checkpoint, PublicKey, Signer, open_checkpoint
from marketplace.audit.receipt import Receipt
from marketplace.audit.recorder import Recorder
from marketplace.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    Node,
    ReadNode,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    peaks_of,
)
from marketplace.audit.verification import Verification, verify
from marketplace.database import Database
from marketplace.errors import AuditUnavailable, ProofInvalid, UnknownRecord

_BATCH = 1000
_LOGGER = logging.getLogger(__name__)

_ENSURE_HEAD = text(
    "INSERT INTO audit_head (id, size, root) VALUES (1, 0, :root) ON CONFLICT DO NOTHING"
)


class AuditLog:
    """Gives recorded entries their place in the tree, signs its heads, proves and verifies.

    Any number of processes may run one over the same database: a lock lets one place entries at a
    time. Safe to share between threads.
    """

    def __init__(
        self, database: Database, signer: Signer, recorder: Recorder | None = None
    ) -> None:
        self._database = database
        self._signer = signer
        self._recorder = recorder
        self._stopping = Event()
        self._thread: Thread | None = None
        self._fault = ""

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """The keys that the log's checkpoints verify with, the present one first."""
        return self._signer.public_keys

    @property
    def fault(self) -> str:
        """Why the background thread could not place entries the last time; empty when it could."""
        return self._fault

    def sequence(self) -> Checkpoint:
        """Place every entry that was recorded until now and return the newest checkpoint.

        What this process's recorder left for later is made durable first.
        Raises AuditUnavailable where the database does not answer, or where the tree contradicts
        its signed head: nothing is ever signed over a tree that was tampered with.
        """
        if self._recorder is not None:
            self._recorder.flush()
        try:
            while self._anything_pending():
                with self._database.writing() as connection:
                    if self._place(connection) < _BATCH:
                        break
            with self._database.reading() as connection:
                return self._newest(connection)
        except SQLAlchemyError as error:
            raise AuditUnavailable("The audit log's database does not answer.") from error

    def receipt(self, entry_id: str) -> Receipt:
        """Prove that an entry stands in the log. Raises UnknownRecord, AuditUnavailable."""
        self.sequence()
        with self._database.reading() as connection:
            joined = records.leaves.join(
                records.entries, records.entries.c.id == records.leaves.c.entry_id
            )
            found = connection.execute(
                select(records.leaves.c.position, records.entries.c.document)
                .select_from(joined)
                .where(records.leaves.c.entry_id == entry_id)
            ).one_or_none()
            if found is None:
                raise UnknownRecord(f"The audit log has no entry {entry_id[:64]}.")
            newest = self._newest(connection)
            proof = inclusion_proof(found.position, newest.size, _reader(connection))
        receipt = Receipt(
            document=found.document, position=found.position, proof=proof, checkpoint=newest.note
        )
        return self._proven(receipt)

    def _proven(self, receipt: Receipt) -> Receipt:
        try:
            receipt.check(self.public_keys)
        except ProofInvalid as error:
            raise AuditUnavailable(
                "The audit log cannot prove this entry: it was tampered with.",
                next_step="Run marketplace audit verify.",
            ) from error
        return receipt

    def growth(self, earlier: int, later: int) -> tuple[bytes, ...]:
        """Prove that the log of size `later` begins with the log of size `earlier` (RFC 6962).

        `receipt.check_growth` checks it. Raises UnknownRecord where the log is smaller.
        """
        with self._database.reading() as connection:
            size = self._newest(connection).size
            if not 0 <= earlier <= later <= size:
                raise UnknownRecord(f"The audit log has {size} entries; those sizes are not of it.")
            return consistency_proof(earlier, later, _reader(connection))

    def verify(
        self, receipts: Sequence[str] = (), *, progress: Callable[[int, int], None] | None = None
    ) -> Verification:
        """Place what is pending, then check the whole log; see `verification.verify`."""
        try:
            self.sequence()
        except AuditUnavailable as error:
            # A damaged tree is exactly what verification is for, and it says more.
            _LOGGER.warning("Entries could not be placed before verification: %s", error.detail)
        return verify(self._database, self.public_keys, receipts, progress=progress)

    def start(self, *, every_seconds: float = 1.0) -> None:
        """Place entries in a background thread until `close`."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = Thread(
                target=self._run, args=(every_seconds,), name="audit-sequencer", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop the thread; what was recorded until now is made durable and placed first."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None
        if self._recorder is not None:
            try:
                self._recorder.close()
            except AuditUnavailable:
                _LOGGER.exception("The last reads were recorded, but not how they ended")

    def _run(self, every_seconds: float) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(every_seconds)
            try:
                self.sequence()
                self._fault = ""
            except AuditUnavailable as error:
                self._fault = error.detail
                _LOGGER.exception("Audit entries wait for their place in the tree")

    def _anything_pending(self) -> bool:
        with self._database.reading() as connection:
            waiting = connection.execute(select(records.pending.c.ordinal).limit(1)).first()
            return waiting is not None or not _signed(connection)

    def _place(self, connection: Connection) -> int:
        connection.execute(_ENSURE_HEAD, {"root": EMPTY_ROOT})
        head = connection.execute(
            select(records.head).where(records.head.c.id == 1).with_for_update()
        ).one()
        frontier = self._frontier(connection, head.size, head.root)
        waiting = _waiting(connection)
        leaves: list[dict[str, object]] = []
        nodes: list[Node] = []
        for row in waiting:
            digest = leaf_hash(row.document.encode())
            leaves.append({"position": frontier.size, "entry_id": row.entry_id, "hash": digest})
            nodes.extend(frontier.append(digest))
        if leaves:
            _write(connection, leaves, nodes, [row.ordinal for row in waiting])
        if leaves or not _signed(connection):
            self._sign(connection, frontier)
        return len(waiting)

    def _frontier(self, connection: Connection, size: int, root: bytes) -> Frontier:
        read = _reader(connection)
        frontier = Frontier(size, (read(level, number) for level, number in peaks_of(size)))
        signed = self._newest(connection) if size or _signed(connection) else None
        if frontier.root() != root or (signed and (signed.size, signed.root) != (size, root)):
            raise AuditUnavailable(
                "The audit log's tree contradicts its signed head: it was tampered with.",
                next_step="Stop the service and follow 'The audit log does not verify' in "
                "deploy/RUNBOOK.md.",
            )
        return frontier

    def _newest(self, connection: Connection) -> Checkpoint:
        notes = records.checkpoints
        newest = select(notes.c.note).order_by(notes.c.size.desc()).limit(1)
        try:
            return open_checkpoint(connection.execute(newest).scalar() or "", self.public_keys)
        except ProofInvalid as error:
            raise AuditUnavailable(
                f"The audit log's newest checkpoint cannot be trusted. {error.detail}",
                next_step="Run marketplace audit verify.",
            ) from error

    def _sign(self, connection: Connection, frontier: Frontier) -> None:
        root = frontier.root()
        note = self._signer.sign(frontier.size, root).note
        connection.execute(
            update(records.head).where(records.head.c.id == 1).values(size=frontier.size, root=root)
        )
        connection.execute(insert(records.checkpoints).values(size=frontier.size, note=note))


def _waiting(connection: Connection) -> Sequence[Row[int, str, str]]:
    pending, entries = records.pending, records.entries
    chosen = (
        select(pending.c.ordinal, pending.c.entry_id, entries.c.document)
        .join(entries, entries.c.id == pending.c.entry_id)
        .order_by(pending.c.ordinal)
        .limit(_BATCH)
    )
    return connection.execute(chosen).all()


def _write(
    connection: Connection,
    leaves: Sequence[dict[str, object]],
    nodes: Sequence[Node],
    ordinals: Sequence[int],
) -> None:
    connection.execute(insert(records.leaves), leaves)
    if nodes:
        connection.execute(insert(records.nodes), [node._asdict() for node in nodes])
    # By exact ordinal: a lower one may commit after this list was read, and must keep waiting.
    connection.execute(delete(records.pending).where(records.pending.c.ordinal.in_(ordinals)))


def _signed(connection: Connection) -> bool:
    return connection.execute(select(records.checkpoints.c.size).limit(1)).first() is not None


def _reader(connection: Connection) -> ReadNode:
    def read(level: int, number: int) -> bytes:
        leaves, nodes = records.leaves.c, records.nodes.c
        if level == 0:
            chosen = select(leaves.hash).where(leaves.position == number)
        else:
            chosen = select(nodes.hash).where(nodes.level == level, nodes.number == number)
        digest: bytes | None = connection.execute(chosen).scalar()
        if digest is None:
            raise AuditUnavailable(
                f"The audit log's tree lacks the node {number} of level {level}.",
                next_step="Run marketplace audit verify.",
            )
        return digest

    return read
