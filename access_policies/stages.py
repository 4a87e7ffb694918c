"""How far the rollout has come: a ceiling for the whole marketplace and for single datasets.

A stage is the least trusted audience that is open. It may be open to those who are invited only;
every more trusted audience is open as a whole then. A move that was written is never changed: of the
rows of a scope that have begun the one that was written last holds, so that a move that is scheduled
gives way to every move that is written after it and begins before it.
"""

from collections.abc import Collection, Iterable, Mapping, Set
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, delete, insert, select

from access_policies import revision, rules
from access_policies.errors import InvalidRule
from access_policies.history import Kind, note, past
from access_policies.records import invitations
from access_policies.records import stages as table
from access_policies.slice_query import Beside, Found
from access_policies.vocabulary import Audience

MARKETPLACE = rules.ANY
"""The scope of the whole marketplace; every other one is a dataset, `organisation.dataset`."""

AT_ONCE = 0
"""`begins` of a move that holds from when it is written, whatever the clock is set to later."""

_FEW = 500
"""Up to so many scopes or waves are looked up by name; of more, all there are is read."""

BESIDE = Beside(
    table.name,
    (
        ("dataset", "scope"),
        ("nbf", "since_revision"),
        ("stage", "stage"),
        ("obligations", "waves"),
        ("exp", "begins"),
    ),
)
"""The moves of scopes, by `scope`, read along with rules; see `move_of`."""

Waves = tuple[str, ...]
"""The waves of invitations that are in force, by their identifiers, the first one first."""


class Reach(msgspec.Struct, frozen=True):
    """Up to which audience something is open; with `waves`, in that audience to invited names only."""

    stage: Audience
    waves: Waves | None = None

    def opens_beyond(self, other: "Reach") -> bool:
        """Whether anybody could be admitted here who is not admitted there."""
        if self.stage is not other.stage:
            return self.stage > other.stage
        if other.waves is None:
            return False
        return self.waves is None or not set(self.waves) <= set(other.waves)


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the history of a scope. `begins` is in epoch seconds, or AT_ONCE."""

    scope: str
    since_revision: int
    reach: Reach
    begins: int = AT_ONCE


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How far a scope is open at a moment.

    Where `invited` is not None, only callers with one of these names are admitted in the audience
    `stage`. `changes_at` is the next moment (UTC) at which a scheduled move changes it.
    """

    stage: Audience
    invited: frozenset[str] | None = None
    changes_at: datetime | None = None

    def ceiling_for(self, names: Collection[str]) -> Audience:
        """The least trusted audience that is open to a caller who goes by these names."""
        if self.invited is None or not self.invited.isdisjoint(names):
            return self.stage
        return Audience(self.stage - 1)


_MARKETPLACE_UNMOVED = Opening(stage=Audience.GOVERNMENT)
_DATASET_UNMOVED = Opening(stage=Audience.PUBLIC)


def write(connection: Connection, move: Move) -> None:
    """Add a move, under the revision that `revision.advance` returned in the same transaction.

    Raises InvalidRule for one that is open to invited government alone: that audience is the floor.
    """
    if move.reach.stage is Audience.GOVERNMENT and move.reach.waves is not None:
        raise InvalidRule(
            "Government is open as a whole, or not at all.",
            next_step="Invite in a stage beyond government; close what nobody may use by a denial.",
        )
    connection.execute(
        insert(table).values(
            scope=move.scope,
            since_revision=move.since_revision,
            stage=int(move.reach.stage),
            waves=None
            if move.reach.waves is None
            else msgspec.json.encode(move.reach.waves).decode(),
            begins=move.begins,
        )
    )


def open_at_once(connection: Connection, scope: str, stage: Audience) -> None:
    """Open or close a scope as a whole from now on, under the revision that was moved to; see `write`."""
    since = revision.read(connection)
    write(connection, Move(scope=scope, since_revision=since, reach=Reach(stage)))


def invite(connection: Connection, wave: str, name: str, *, since_revision: int) -> None:
    """Admit a name in every stage that the wave is in force in; see `write`."""
    connection.execute(
        insert(invitations).values(wave=wave, name=name, since_revision=since_revision)
    )


def uninvite(connection: Connection, wave: str, name: str) -> None:
    """Admit a name no longer by that wave, whose place is free again; see `write`."""
    theirs = (invitations.c.wave == wave, invitations.c.name == name)
    since = connection.execute(select(invitations.c.since_revision).where(*theirs)).scalar()
    if since is not None:
        note(connection, Kind.INVITATION, {f"{wave}/{name}": since})
        connection.execute(delete(invitations).where(*theirs))


def invited(connection: Connection, wave: str) -> tuple[str, ...]:
    """The names that a wave invited, in order."""
    query = select(invitations.c.name).where(invitations.c.wave == wave)
    return tuple(connection.execute(query.order_by(invitations.c.name)).scalars())


def history(
    connection: Connection, *scopes: str, at_revision: int | None = None
) -> tuple[Move, ...]:
    """Every move of these scopes, or of all, in the order in which they were written.

    Where a revision is given, those that were written by then.
    """
    query = select(table).order_by(table.c.since_revision, table.c.scope)
    if scopes and len(scopes) <= _FEW:
        query = query.where(table.c.scope.in_(scopes))
    if at_revision is not None:
        query = query.where(table.c.since_revision <= at_revision)
    return tuple(_move(**row) for row in connection.execute(query).mappings())


def openings(
    connection: Connection,
    scopes: Set[str],
    *,
    now: datetime,
    names: Collection[str] | None = None,
    at_revision: int | None = None,
) -> dict[str, Opening]:
    """How far each scope is open at a moment; see `reach_of` for one that was never moved.

    Where names are given, only whether these are invited is looked up. Where a revision is given,
    as it had been written by then.
    """
    asked = scopes if len(scopes) <= _FEW else ()
    moves = history(connection, *asked, at_revision=at_revision)
    return openings_by(connection, moves, scopes, now=now, names=names, at_revision=at_revision)


def openings_by(
    connection: Connection,
    moves: Iterable[Move],
    scopes: Set[str],
    *,
    now: datetime,
    names: Collection[str] | None = None,
    at_revision: int | None = None,
) -> dict[str, Opening]:
    """As `openings`, by all the moves of the scopes; who is invited is looked up where that matters."""
    moved: dict[str, list[Move]] = {}
    for move in moves:
        moved.setdefault(move.scope, []).append(move)
    unmoved = {
        scope: _MARKETPLACE_UNMOVED if scope == MARKETPLACE else _DATASET_UNMOVED
        for scope in scopes
        if scope not in moved
    }
    held = {scope: moves for scope, moves in moved.items() if scope in scopes}
    return unmoved | _opened(connection, held, now, names, at_revision)


def every_opening(connection: Connection, *, now: datetime) -> dict[str, Opening]:
    """How far the marketplace and each dataset that was ever moved are open; as `openings`."""
    moved = {move.scope for move in history(connection)}
    return openings(connection, {MARKETPLACE, *moved}, now=now)


def holding(moves: Iterable[Move], now: datetime) -> Move | None:
    """Of the moves of one scope the one that holds at a moment."""
    moment = now.timestamp()
    begun = (move for move in moves if move.begins <= moment)
    return max(begun, key=lambda move: move.since_revision, default=None)


def to_come(moves: Iterable[Move], now: datetime) -> tuple[Move, ...]:
    """Of the moves of one scope those that will hold one day, the next one first."""
    moves = tuple(moves)
    moment = now.timestamp()
    ahead = sorted((move for move in moves if move.begins > moment), key=lambda move: move.begins)
    return tuple(move for move in ahead if holding(moves, moment_of(move)) is move)


def reach_of(scope: str, held: Move | None) -> Reach:
    """How far a scope is open by the move that holds.

    Until somebody opens it, the marketplace is open to government alone; a dataset that was never
    moved has no ceiling but the marketplace's.
    """
    if held is not None:
        return held.reach
    return Reach((_MARKETPLACE_UNMOVED if scope == MARKETPLACE else _DATASET_UNMOVED).stage)


def _opened(
    connection: Connection,
    by_scope: Mapping[str, list[Move]],
    now: datetime,
    names: Collection[str] | None = None,
    at_revision: int | None = None,
) -> dict[str, Opening]:
    reaches = {scope: reach_of(scope, holding(held, now)) for scope, held in by_scope.items()}
    admitted = _admitted(connection, reaches.values(), names, at_revision)
    return {
        scope: Opening(
            stage=reach.stage,
            invited=_invited(reach, admitted),
            changes_at=min(map(moment_of, to_come(by_scope[scope], now)), default=None),
        )
        for scope, reach in reaches.items()
    }


def _admitted(
    connection: Connection,
    reaches: Iterable[Reach],
    names: Collection[str] | None,
    at_revision: int | None,
) -> Mapping[str, frozenset[str]]:
    """The names that each wave in force admits, or those of them that were asked for."""
    waves = {wave for reach in reaches for wave in reach.waves or ()}
    if not waves:
        return {}
    query = select(invitations.c.wave, invitations.c.name)
    if len(waves) <= _FEW:
        query = query.where(invitations.c.wave.in_(waves))
    if names is not None:
        query = query.where(invitations.c.name.in_(names))
    if at_revision is not None:
        query = query.where(invitations.c.since_revision <= at_revision)
    found = {(wave, name) for wave, name in connection.execute(query)}
    if at_revision is not None:
        found |= _taken_back_since(connection, at_revision)
    admitted: dict[str, set[str]] = {wave: set() for wave in waves}
    for wave, name in found:
        if wave in waves and (names is None or name in names):
            admitted[wave].add(name)
    return {wave: frozenset(held) for wave, held in admitted.items()}


def _taken_back_since(connection: Connection, number: int) -> set[tuple[str, str]]:
    """The invitations, as wave and name, that stood at a revision and were taken back after it."""
    then = past(connection, number, Kind.INVITATION)
    found = set()
    for key in then.keys(Kind.INVITATION):
        wave, _, name = key.partition("/")
        since = then.was(Kind.INVITATION, key, None)
        if isinstance(since, int) and since <= number:
            found.add((wave, name))
    return found


def _invited(reach: Reach, admitted: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    if reach.waves is None:
        return None
    return frozenset().union(*(admitted[wave] for wave in reach.waves))


def moment_of(move: Move) -> datetime:
    """The moment (UTC) at which a scheduled move begins."""
    return datetime.fromtimestamp(move.begins, UTC)


def move_of(found: Found) -> Move:
    """The move of a row that was read along with rules. Raises as `history` does."""
    return _move(**BESIDE.named(found))


def _move(*, scope: str, since_revision: int, stage: int, waves: str | None, begins: int) -> Move:
    # Strict on what is read: a stage that is none, or waves that are no list, must never open.
    return Move(
        scope=scope,
        since_revision=since_revision,
        reach=Reach(
            Audience(stage), None if waves is None else msgspec.json.decode(waves, type=Waves)
        ),
        begins=begins,
    )
