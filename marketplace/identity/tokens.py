"""Tokens: 256 random bits, shown once, kept as a hash, with an end, for one project or one role."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, insert, or_, select, update

from access_policies import principals, revision, standing
from access_policies.vocabulary import Role, Subject
from marketplace.clock import LONDON
from marketplace.errors import RequestMalformed, Unauthenticated, UnknownRecord, WrongProject
from marketplace.identity import appointments, capacity, organisations, people, projects
from marketplace.identity.capacity import Capacity
from marketplace.identity.people import Person
from marketplace.identity.principal import Principal
from marketplace.identity.records import tokens

_PREFIX = "dmk_"
_BYTES = 32
_USE_NOTED_EVERY = timedelta(minutes=1)

_UNKNOWN = "This is not a token that the marketplace knows."
_ASK_FOR_NEW = "Ask the operator, or the lead of your project, for a new token."


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; not the secret, which is shown once and kept nowhere."""

    id: str
    person: str
    project: str | None = None
    role: Role | None = None
    organisation: str | None = None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


def issue_token(
    connection: Connection,
    *,
    person: str,
    project: str | None = None,
    role: Role | None = None,
    organisation: str | None = None,
    expires_at: datetime,
    now: datetime,
) -> tuple[str, TokenRecord]:
    """Make a token for a person in one project, or in one role, and return its secret.

    The first token of a role writes the rules that the role stands on, and names the person to it
    from today where they never were; a deputy is named before. Raises RequestMalformed,
    UnknownRecord.
    """
    people.get(connection, person)
    _check_one_purpose(project, role, organisation)
    if expires_at <= now:
        raise RequestMalformed("A token ends after it begins.", next_step="Give a later expiry.")
    if project is not None and not projects.memberships_of(connection, person, project):
        raise UnknownRecord(f"That person is not a member of a project {project[:63]!r}.")
    if role is not None:
        if organisation is not None:
            organisations.get(connection, organisation)
        _ensure_named(connection, person, role, organisation, now)
        standing.ensure_role(connection, role, organisation)
    secret = _PREFIX + secrets.token_urlsafe(_BYTES)
    record = TokenRecord(
        id=uuid4().hex,
        person=person,
        project=project,
        role=role,
        organisation=organisation,
        created_at=now,
        expires_at=expires_at,
    )
    connection.execute(
        insert(tokens).values(msgspec.structs.asdict(record) | {"digest": digest_of(secret)})
    )
    return secret, record


def authenticate(connection: Connection, secret: str, *, now: datetime) -> Principal:
    """The principal that a secret stands for now.

    Raises Unauthenticated: one sentence for any secret that is not known, and the reason (expired,
    revoked, membership or secondment over) for its holder.
    """
    row = _find(connection, tokens.c.digest == digest_of(secret))
    if row is None:
        raise Unauthenticated(_UNKNOWN, next_step=_ASK_FOR_NEW)
    return _principal(connection, row, now)


def renew(connection: Connection, principal: Principal, *, now: datetime) -> Principal:
    """The same token's principal as it stands now. Raises Unauthenticated as `authenticate` does."""
    row = _find(connection, tokens.c.id == principal.token_id)
    if row is None:
        raise Unauthenticated(_UNKNOWN, next_step=_ASK_FOR_NEW)
    return _principal(connection, row, now)


def acting_as(
    connection: Connection, person: str, role: Role, *, now: datetime
) -> tuple[Principal, ...]:
    """Whom the person's tokens for a role stand for now; nobody where none of them opens anything."""
    query = select(tokens).where(tokens.c.person == person, tokens.c.role == role)
    found = []
    for row in connection.execute(query):
        try:
            found.append(_principal(connection, row, now))
        except Unauthenticated:
            continue
    return tuple(found)


def check_project(principal: Principal, named: str | None) -> None:
    """Raise WrongProject where a call names another project than the token's."""
    if named is not None and named != principal.project:
        raise WrongProject(
            "The token belongs to another project than the one this call names.",
            next_step="Leave the project out, or send the token that belongs to it.",
        )


def revoke_token(connection: Connection, identifier: str, *, now: datetime) -> None:
    """Let a token open nothing from now on. Raises UnknownRecord; again is no error."""
    revision.advance(connection)
    theirs = tokens.c.id == identifier
    found = _find(connection, theirs)
    if found is None:
        raise UnknownRecord("There is no such token.")
    first = update(tokens).where(theirs, tokens.c.revoked_at.is_(None))
    connection.execute(first.values(revoked_at=now))


def note_use(connection: Connection, identifier: str, *, now: datetime) -> None:
    """Note that a token was used; to the minute, so that not every call writes."""
    stale = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < now - _USE_NOTED_EVERY)
    connection.execute(
        update(tokens).where(tokens.c.id == identifier, stale).values(last_used_at=now)
    )


def list_tokens(connection: Connection, *, person: str | None = None) -> tuple[TokenRecord, ...]:
    """The tokens of a person or of all, newest first."""
    query = select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.id)
    if person is not None:
        query = query.where(tokens.c.person == person)
    return tuple(_record(row) for row in connection.execute(query))


def _check_one_purpose(project: str | None, role: Role | None, organisation: str | None) -> None:
    if (project is None) == (role is None):
        raise RequestMalformed("A token is for exactly one project, or for one role.")
    if role is not None:
        appointments.check_place(role, organisation)
    elif organisation is not None:
        raise RequestMalformed("A token for a project is for no other organisation than its own.")


def _ensure_named(
    connection: Connection, person: str, role: Role, organisation: str | None, now: datetime
) -> None:
    today = now.astimezone(LONDON).date()
    held = appointments.held(connection, person, role, organisation)
    if any(one.last_day is None or one.last_day >= today for one in held):
        return
    if held or role is Role.DEPUTY:
        raise RequestMalformed(
            f"That person is not named as {role} now.",
            next_step="Name them first: marketplace staff appoint, or marketplace admin role add.",
        )
    appointments.appoint(
        connection, person=person, role=role, organisation=organisation, first_day=today
    )


def _principal(connection: Connection, row: Row[*tuple[Any, ...]], now: datetime) -> Principal:
    token = _record(row)
    _check_live(token, now)
    person = people.get(connection, token.person)
    if token.project is not None:
        return _in_project(connection, token, token.project, person, now)
    return _in_role(connection, token, person, now)


def _check_live(token: TokenRecord, now: datetime) -> None:
    if token.revoked_at is not None:
        raise Unauthenticated("This token was revoked.", next_step=_ASK_FOR_NEW)
    if token.expires_at <= now:
        raise Unauthenticated("This token has expired.", next_step=_ASK_FOR_NEW)


def _in_project(
    connection: Connection, token: TokenRecord, name: str, person: Person, now: datetime
) -> Principal:
    project = projects.get(connection, name)
    held = capacity.in_project(connection, person, project, now=now)
    return Principal(
        person_id=person.id,
        person_name=person.name,
        token_id=token.id,
        project=name,
        project_purpose=project.purpose,
        subject=subject_of(person.id, names_in(name, person.id), held),
        valid_until=_earlier(token, held.until),
        changes_at=_earlier(token, held.changes_at),
    )


def _in_role(
    connection: Connection, token: TokenRecord, person: Person, now: datetime
) -> Principal:
    if token.role is None:
        raise Unauthenticated(_UNKNOWN, next_step=_ASK_FOR_NEW)
    held = capacity.in_role(connection, person, token.role, token.organisation, now=now)
    return Principal(
        person_id=person.id,
        person_name=person.name,
        token_id=token.id,
        role=token.role,
        organisation=token.organisation,
        in_place_of=held.in_place_of,
        subject=subject_of(person.id, {principals.role(token.role, token.organisation)}, held),
        valid_until=_earlier(token, held.until),
        changes_at=_earlier(token, held.changes_at),
    )


def names_in(project: str, person: str) -> set[str]:
    """The names that a member goes by in a project, beside their own."""
    return {principals.project(project), principals.member(project, person)}


def subject_of(person: str, names: set[str], held: Capacity) -> Subject:
    """A person under the names of what they act in, beside their own and their audiences'."""
    own = {
        principals.person(person),
        principals.organisation(held.organisation),
        principals.employer(held.home),
    }
    return Subject(
        person=person,
        principals=frozenset(own | names | principals.audiences_of(held.audience)),
        audience=held.audience,
        organisation=held.organisation,
    )


def _earlier(token: TokenRecord, moment: datetime | None) -> datetime:
    return min(token.expires_at, moment) if moment else token.expires_at


def _find(connection: Connection, condition: ColumnElement[bool]) -> Row[*tuple[Any, ...]] | None:
    query = select(tokens).where(condition)
    return connection.execute(query).one_or_none()


def _record(row: Row[*tuple[Any, ...]]) -> TokenRecord:
    return msgspec.convert(row, TokenRecord, from_attributes=True)


def digest_of(secret: str) -> str:
    """What is kept of a secret: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
