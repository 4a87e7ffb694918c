"""Requests: the states that one can be in, as data, and every move with who, when and why."""

from datetime import datetime
from enum import StrEnum
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from catalogue.address import DatasetAddress
from marketplace.errors import InvalidSharing, UnknownRecord
from marketplace.identity.principal import Principal
from marketplace.sharing.draft import RequestDraft
from marketplace.sharing.records import moves, requests
from marketplace.sharing.scopes import Scope


class RequestState(StrEnum):
    """Where a request stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    IN_REVIEW = "in_review"
    RETURNED = "returned"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


NEXT_STATES: dict[RequestState, frozenset[RequestState]] = {
    RequestState.DRAFT: frozenset({RequestState.SUBMITTED, RequestState.CANCELLED}),
    RequestState.SUBMITTED: frozenset({RequestState.IN_REVIEW, RequestState.CANCELLED}),
    RequestState.IN_REVIEW: frozenset(
        {
            RequestState.RETURNED,
            RequestState.ACCEPTED,
            RequestState.REJECTED,
            RequestState.CANCELLED,
        }
    ),
    RequestState.RETURNED: frozenset({RequestState.SUBMITTED, RequestState.CANCELLED}),
    RequestState.ACCEPTED: frozenset(),
    RequestState.REJECTED: frozenset(),
    RequestState.CANCELLED: frozenset(),
}


class Mover(StrEnum):
    """Who brings a request into a state."""

    ASKER = "asker"
    OWNER = "owner"


MOVED_BY: dict[RequestState, Mover] = {
    RequestState.DRAFT: Mover.ASKER,
    RequestState.SUBMITTED: Mover.ASKER,
    RequestState.IN_REVIEW: Mover.OWNER,
    RequestState.RETURNED: Mover.OWNER,
    RequestState.ACCEPTED: Mover.OWNER,
    RequestState.REJECTED: Mover.OWNER,
    RequestState.CANCELLED: Mover.ASKER,
}


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a request's history."""

    before: RequestState
    after: RequestState
    by: str
    by_name: str
    at: datetime
    why: str


class ShareRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it stands. `asked` is the draft's scope written out; `flags` are for the owner."""

    id: str
    project: str
    dataset: DatasetAddress
    state: RequestState
    draft: RequestDraft
    asked: Scope
    flags: tuple[str, ...]
    asked_by: str
    asked_at: datetime
    moves: tuple[Move, ...] = ()

    @property
    def submitted_by(self) -> frozenset[str]:
        """Everybody who submitted it, first or again, by their identifiers."""
        again = (move.by for move in self.moves if move.after is RequestState.SUBMITTED)
        return frozenset((self.asked_by, *again))


def submit(
    connection: Connection,
    principal: Principal,
    project: str,
    draft: RequestDraft,
    asked: Scope,
    flags: tuple[str, ...],
    *,
    now: datetime,
) -> ShareRequest:
    """Enter a request and submit it."""
    request = ShareRequest(
        id=uuid4().hex,
        project=project,
        dataset=draft.dataset,
        state=RequestState.DRAFT,
        draft=draft,
        asked=asked,
        flags=flags,
        asked_by=principal.person_id,
        asked_at=now,
    )
    row = {"id": request.id, "project": project, "dataset": str(draft.dataset)}
    row |= {"state": request.state.value, "asked_by": request.asked_by}
    connection.execute(insert(requests).values(row | _content(request) | {"asked_at": now}))
    return move(connection, request, RequestState.SUBMITTED, principal, "", now=now)


def resubmit(
    connection: Connection,
    principal: Principal,
    request: ShareRequest,
    draft: RequestDraft,
    asked: Scope,
    flags: tuple[str, ...],
    *,
    now: datetime,
) -> ShareRequest:
    """Submit a returned request again with what was written anew."""
    if draft.dataset != request.dataset:
        raise InvalidSharing(
            f"The request is for {request.dataset}, not for {draft.dataset}.",
            next_step="Make a new request for the other dataset.",
        )
    again = msgspec.structs.replace(request, draft=draft, asked=asked, flags=flags)
    moved = move(connection, again, RequestState.SUBMITTED, principal, "", now=now)
    changed = update(requests).where(requests.c.id == request.id)
    connection.execute(changed.values(_content(again)))
    return moved


def move(
    connection: Connection,
    request: ShareRequest,
    after: RequestState,
    principal: Principal,
    why: str,
    *,
    now: datetime,
) -> ShareRequest:
    """Bring a request into another state. Raises InvalidSharing where it cannot go there."""
    if after not in NEXT_STATES[request.state]:
        raise InvalidSharing(
            f"The request is {_words(request.state)} and cannot become {_words(after)}.",
            next_step=_possible(request.state),
        )
    made = Move(
        before=request.state,
        after=after,
        by=principal.person_id,
        by_name=_name_of(principal),
        at=now,
        why=why,
    )
    of_request = moves.c.request == request.id
    ordinal = connection.execute(select(func.count()).where(of_request)).scalar_one()
    row = msgspec.structs.asdict(made) | {"before": made.before.value, "after": made.after.value}
    connection.execute(insert(moves).values(row | {"request": request.id, "ordinal": ordinal}))
    connection.execute(
        update(requests).where(requests.c.id == request.id).values(state=after.value)
    )
    return msgspec.structs.replace(request, state=after, moves=(*request.moves, made))


def read(connection: Connection, identifier: str) -> ShareRequest:
    """One request, locked until the transaction ends. Raises UnknownRecord."""
    if not identifier.isalnum():
        raise unknown(identifier)
    query = select(requests).where(requests.c.id == identifier).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise unknown(identifier)
    return _request(connection, row)


def list_all(connection: Connection, *, project: str | None = None) -> tuple[ShareRequest, ...]:
    """The requests of a project or of all, newest first."""
    query = select(requests).order_by(requests.c.asked_at.desc(), requests.c.id)
    if project is not None:
        query = query.where(requests.c.project == project)
    rows = connection.execute(query).mappings().all()
    return tuple(_request(connection, row) for row in rows)


def unknown(identifier: str) -> UnknownRecord:
    """The one answer for a request that is not there or not the caller's to see."""
    return UnknownRecord(
        f"There is no request {identifier[:32]!r} that you can see.",
        next_step="List yours with: marketplace requests.",
    )


def _content(request: ShareRequest) -> dict[str, str]:
    return {
        "draft": msgspec.json.encode(request.draft).decode(),
        "asked": msgspec.json.encode(request.asked).decode(),
        "flags": msgspec.json.encode(request.flags).decode(),
    }


def _request(connection: Connection, row: RowMapping) -> ShareRequest:
    query = select(moves).where(moves.c.request == row["id"]).order_by(moves.c.ordinal)
    history = connection.execute(query)
    return ShareRequest(
        id=row["id"],
        project=row["project"],
        dataset=DatasetAddress.parse(row["dataset"]),
        state=RequestState(row["state"]),
        draft=msgspec.json.decode(row["draft"], type=RequestDraft),
        asked=msgspec.json.decode(row["asked"], type=Scope),
        flags=msgspec.json.decode(row["flags"], type=tuple[str, ...]),
        asked_by=row["asked_by"],
        asked_at=row["asked_at"],
        moves=tuple(msgspec.convert(step, Move, from_attributes=True) for step in history),
    )


def _name_of(principal: Principal) -> str:
    if principal.in_place_of is None:
        return principal.person_name
    return f"{principal.person_name}, deputy of {principal.in_place_of.name}"


def _words(state: RequestState) -> str:
    return state.value.replace("_", " ")


def _possible(state: RequestState) -> str:
    following = sorted(_words(after) for after in NEXT_STATES[state])
    return f"From here it can become {' or '.join(following)}." if following else "Make a new one."
