"""What is written into the audit log, and how personal values stay out of its tree.

The leaf of an entry is a document of public facts in canonical JSON (RFC 8785). Of each personal
value the document holds only a salted commitment; value and salt stand in a body beside it, which
can be erased while the tree still verifies.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import msgspec
import rfc8785
from sqlalchemy import Connection, Row, Select, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from marketplace.audit import records
from marketplace.errors import AuditUnavailable, UnknownRecord

Fact = None | bool | int | float | str | Sequence["Fact"] | Mapping[str, "Fact"]
"""What canonical JSON can hold; whole numbers up to 2**53 - 1."""

_SALT_BYTES = 32
_INSERT_ENTRIES = insert(records.entries)
_INSERT_BODIES = insert(records.bodies)
_INSERT_PENDING = insert(records.pending).inline()
NEXT_STEP = "Nothing was done. Try again; if it stays so, the operator must look at the database."


class EntryKind(StrEnum):
    """What an entry says happened."""

    ACCESS_EXPLAINED = "access:explained"
    AGREEMENT_ENDED = "agreement:ended"
    AGREEMENT_EXTENDED = "agreement:extended"
    AGREEMENT_MADE = "agreement:made"
    AGREEMENT_REVISED = "agreement:revised"
    AUDIT_FAILED = "audit:failed"
    CATALOGUE_READ = "catalogue:read"
    DATASET_REGISTERED = "dataset:registered"
    FILES_REMOVED = "files:removed"
    MEMBER_ADDED = "member:added"
    MEMBER_ENDED = "member:ended"
    ORGANISATION_REGISTERED = "organisation:registered"
    PERSON_DETAILS_ERASED = "person_details:erased"
    PERSON_REGISTERED = "person:registered"
    PROJECT_ACCREDITED = "project:accredited"
    POLICY_APPLIED = "policy:applied"
    POLICY_READ = "policy:read"
    PROJECT_REGISTERED = "project:registered"
    PUBLISH_REFUSED = "publish:refused"
    READ_CLOSED = "read:closed"
    READ_DECIDED = "read:decided"
    RELEASE_PUBLISHED = "release:published"
    REQUEST_MOVED = "request:moved"
    ROLE_ENDED = "role:ended"
    ROLE_NAMED = "role:named"
    ROLLOUT_READ = "rollout:read"
    ROLLOUT_REFUSED = "rollout:refused"
    RULE_DENIED = "rule:denied"
    RULE_OFFERED = "rule:offered"
    SECONDMENT_ENDED = "secondment:ended"
    SECONDMENT_REGISTERED = "secondment:registered"
    SHARING_READ = "sharing:read"
    SHARING_REFUSED = "sharing:refused"
    STAGE_INVITED = "stage:invited"
    STAGE_MOVED = "stage:moved"
    STAGE_PROPOSED = "stage:proposed"
    STAGE_WITHDRAWN = "stage:withdrawn"
    TOKEN_ISSUED = "token:issued"  # noqa: S105 -- the name of an event
    TOKEN_REVOKED = "token:revoked"  # noqa: S105 -- the name of an event


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `facts` are public for good; `person` holds what is about a person.

    A person's identifier and name belong in `person`, and so does everything that a user typed
    (SQL, a stated reason): it may hold personal data.
    """

    kind: EntryKind
    facts: Mapping[str, Fact] = {}
    person: Mapping[str, str] = {}


class PersonalValue(msgspec.Struct, frozen=True):
    """A personal value and the salt that opens its commitment."""

    salt: str
    value: str


class RecordedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it stands in the log.

    `person` has None where the value was erased. `position` is its place in the tree, None until
    the sequencer has given it one.
    """

    id: str
    kind: EntryKind
    recorded_at: datetime
    facts: Mapping[str, Fact]
    person: Mapping[str, str | None]
    position: int | None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a leaf, as read back: commitments in hexadecimal stand for personal values."""

    id: str
    kind: str
    recorded_at: str
    facts: dict[str, Any]
    person: dict[str, str]


def commitment(field: str, personal: PersonalValue) -> str:
    """SHA-256 in hexadecimal over the canonical JSON of field, salt and value."""
    opened: dict[str, str] = {"field": field, "salt": personal.salt, "value": personal.value}
    return hashlib.sha256(rfc8785.dumps(opened)).hexdigest()


def read_body(text: str) -> dict[str, PersonalValue]:
    """Read an erasable body. Raises msgspec.DecodeError where it is none."""
    return msgspec.json.decode(text, type=dict[str, PersonalValue])


class DraftEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is to be written: the leaf's content, and the erasable body beside it."""

    id: str
    kind: EntryKind
    recorded_at: str
    document: str
    body: str | None


def record(connection: Connection, entry: Entry, *, now: datetime) -> str:
    """Write an entry in the caller's transaction and return its id.

    It is durable when that transaction commits, and takes its place in the tree a moment later.
    Raises AuditUnavailable where it cannot be written: then the caller must do nothing either.
    """
    drafted = draft(entry, now=now)
    write(connection, (drafted,))
    return drafted.id


def draft(entry: Entry, *, now: datetime) -> DraftEntry:
    """Make an entry ready to be written. Raises AuditUnavailable where it holds what cannot be."""
    identifier = uuid4().hex
    body = {
        field: PersonalValue(secrets.token_hex(_SALT_BYTES), value)
        for field, value in entry.person.items()
    }
    written_at = instant_text(now)
    return DraftEntry(
        id=identifier,
        kind=entry.kind,
        recorded_at=written_at,
        document=_canonical(entry, identifier, written_at, body),
        body=msgspec.json.encode(body).decode() if body else None,
    )


def write(connection: Connection, drafts: Sequence[DraftEntry]) -> None:
    """Write entries, at least one, in this order. Raises AuditUnavailable where they cannot be."""
    rows = [
        {"id": one.id, "kind": one.kind, "recorded_at": one.recorded_at, "document": one.document}
        for one in drafts
    ]
    bodies = [{"entry_id": one.id, "body": one.body} for one in drafts if one.body is not None]
    try:
        connection.execute(_INSERT_ENTRIES, rows)
        if bodies:
            connection.execute(_INSERT_BODIES, bodies)
        connection.execute(_INSERT_PENDING, [{"entry_id": one.id} for one in drafts])
    except SQLAlchemyError as error:
        raise AuditUnavailable(
            "The audit log could not be written.", next_step=NEXT_STEP
        ) from error


def erase(connection: Connection, entry_id: str, *, reason: str, now: datetime) -> str:
    """Delete the personal values of an entry for good, and record that this was done, and why.

    Returns the id of the entry that records it. Raises UnknownRecord where the entry has no
    personal values (any more).
    """
    removed = connection.execute(
        delete(records.bodies).where(records.bodies.c.entry_id == entry_id)
    )
    if removed.rowcount != 1:
        raise UnknownRecord(
            f"The audit log holds no personal details of the entry {entry_id[:64]}."
        )
    said = Entry(
        kind=EntryKind.PERSON_DETAILS_ERASED, facts={"entry": entry_id}, person={"reason": reason}
    )
    erasure_id = record(connection, said, now=now)
    connection.execute(insert(records.erasures).values(entry_id=entry_id, erasure_id=erasure_id))
    return erasure_id


def find(connection: Connection, entry_id: str) -> RecordedEntry:
    """One entry by its id. Raises UnknownRecord."""
    found = connection.execute(_selection().where(records.entries.c.id == entry_id)).one_or_none()
    if found is None:
        raise UnknownRecord(f"The audit log has no entry {entry_id[:64]}.")
    return _recorded(found)


def latest(
    connection: Connection, *, kinds: Sequence[EntryKind] = (), limit: int = 100
) -> tuple[RecordedEntry, ...]:
    """The newest entries, newest first, of these kinds or of all."""
    selection = _selection().limit(limit)
    if kinds:
        selection = selection.where(records.entries.c.kind.in_(kinds))
    ordered = selection.order_by(
        records.entries.c.recorded_at.desc(), records.leaves.c.position.desc()
    )
    return tuple(_recorded(row) for row in connection.execute(ordered))


def instant_text(moment: datetime) -> str:
    """A moment as the log writes it: UTC to the microsecond, the same width every time."""
    if moment.tzinfo is None:
        raise ValueError("a moment in the audit log needs its time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _canonical(
    entry: Entry, identifier: str, written_at: str, body: Mapping[str, PersonalValue]
) -> str:
    try:
        document: dict[str, Any] = {
            "id": identifier,
            "kind": entry.kind.value,
            "recorded_at": written_at,
            "facts": entry.facts,
            "person": {field: commitment(field, value) for field, value in body.items()},
        }
        return rfc8785.dumps(document).decode()
    except rfc8785.CanonicalizationError as error:
        raise AuditUnavailable(
            "The event holds a value that the audit log cannot write (a number that is not finite "
            "or beyond 2**53, or text that is not Unicode).",
            next_step="Nothing was done. Leave that value out.",
        ) from error


def _selection() -> Select[str, str | None, int | None]:
    joined = records.entries.outerjoin(
        records.bodies, records.bodies.c.entry_id == records.entries.c.id
    ).outerjoin(records.leaves, records.leaves.c.entry_id == records.entries.c.id)
    return select(
        records.entries.c.document, records.bodies.c.body, records.leaves.c.position
    ).select_from(joined)


def _recorded(row: Row[str, str | None, int | None]) -> RecordedEntry:
    document = msgspec.json.decode(row.document, type=Document)
    body = read_body(row.body) if row.body else {}
    return RecordedEntry(
        id=document.id,
        kind=EntryKind(document.kind),
        recorded_at=datetime.fromisoformat(document.recorded_at),
        facts=document.facts,
        person={field: body[field].value if field in body else None for field in document.person},
        position=row.position,
    )
