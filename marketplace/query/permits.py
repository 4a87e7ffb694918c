"""Whether a statement may read what it names: decided and recorded in one transaction.

One decision per dataset, permit or deny, is written before the first byte leaves, with what was
asked, under which rule and policy revision; a second entry closes the read.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from access_policies import revision
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.scope import TableScope
from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from catalogue.dataset import Release, ReleaseTable
from catalogue.errors import InvalidAddress, Problem
from catalogue.manifest import resolve_table
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind
from marketplace.audit.recorder import Recorder, Recording
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.delivery import Watch
from marketplace.discovery import unknown
from marketplace.engine.query.statement import Statement
from marketplace.errors import AuditUnavailable, Unauthenticated
from marketplace.identity.principal import Principal
from marketplace.query.answers import Answers, Moment

# Whoever may do one of these to a dataset may be told that it is there.
_TELLING = (Action.DISCOVER, Action.QUERY)

# Characters of a refused statement that are kept: none that is served is longer.
_MOST_KEPT = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One table as the caller gets it: the release pinned, the scope agreed, and by what."""

    release: Release
    table: ReleaseTable
    scope: TableScope
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Every table of a statement allowed, recorded as `entry` under one policy revision.

    `since` is when, and `decided_at` the same by `time.monotonic`.
    """

    principal: Principal
    action: Action
    readings: tuple[Reading, ...]
    revision: int
    since: datetime
    decided_at: float
    entry: str

    @property
    def until(self) -> datetime:
        """The first moment at which time alone could end it."""
        return _earliest(self.principal, (read.decision for read in self.readings))


class Permits:
    """Issues permits to read, watches over them, and closes their records."""

    def __init__(
        self, *, database: Database, recorder: Recorder, decision_point: DecisionPoint, clock: Clock
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock
        self._answers = Answers(decision_point)

    def issue(
        self,
        principal: Principal,
        statement: Statement,
        *,
        releases: Mapping[str, int] | None = None,
        action: Action = Action.QUERY,
        parameters: bytes | None = None,
    ) -> Permit:
        """Decide every table in the transaction that records the decisions, permit or deny.

        `parameters` are the values that the statement is asked with, kept beside it.
        `releases` pins datasets by their address to a release; any other is read as it is newest.
        Raises UnknownDataset (also for what the caller may not know of), AccessDenied,
        UnknownRelease, Unauthenticated.
        """
        asked = partial(
            self._decided, principal, action, statement, releases or {}, parameters=parameters
        )
        answer = self._recorder.run(asked)
        if isinstance(answer, Problem):
            raise answer
        return answer

    def standing(self) -> tuple[int, datetime]:
        """The policy revision and the time, as they are now. Raises AuditUnavailable."""
        try:
            with self._database.reading() as connection:
                return revision.read(connection), self._clock()
        except SQLAlchemyError as error:
            raise AuditUnavailable("The audit log's database does not answer.") from error

    def refuse(self, principal: Principal, sql: str, refusal: Problem) -> None:
        """Record a statement that was refused before any table of it was known.

        Raises Unauthenticated where the caller is nobody any more, who is told nothing else.
        """
        answer = self._recorder.run(partial(self._refused, principal, _kept(sql), refusal))
        if isinstance(answer, Unauthenticated):
            raise answer

    def watch(self, permit: Permit) -> Watch:
        """Looks again, while what the permit let out is sent, whether it still stands."""
        return Watch(
            self._database,
            self._clock,
            since=permit.revision,
            decided_at=permit.decided_at,
            until=permit.until,
            standing_until=partial(self._standing_until, permit),
        )

    def close(self, permit: Permit, rows: int, sent: int, outcome: str) -> None:
        """Close the record of a read with what it gave and how it ended.

        Returns at once; it is written with the next decision or within about a second.
        """
        closing = Entry(
            kind=EntryKind.READ_CLOSED,
            facts={"read": permit.entry, "rows": rows, "bytes": sent, "outcome": outcome},
            person={"person": permit.principal.person_id},
        )
        self._recorder.later(closing)

    def _standing_until(self, permit: Permit, connection: Connection) -> datetime | None:
        """Until when the same question gets the same grants and obligations; None where it does not."""
        at = Moment(connection, revision.read(connection), self._clock())
        try:
            principal = self._answers.principal(at, permit.principal)
        except Unauthenticated:
            return None
        found = [
            self._answers.decision(at, principal, permit.action, read.release.dataset)
            for read in permit.readings
        ]
        if not all(map(_same, found, permit.readings)):
            return None
        return _earliest(principal, found)

    def _decided(
        self,
        principal: Principal,
        action: Action,
        statement: Statement,
        pinned: Mapping[str, int],
        recording: Recording,
        *,
        parameters: bytes | None,
    ) -> Permit | Problem:
        refusal: Problem | None = None
        readings: tuple[Reading, ...] = ()
        decided_at = monotonic()
        at = Moment(recording.connection, recording.revision, self._clock())
        try:
            principal = self._answers.principal(at, principal)
            readings = tuple(
                self._reading(at, principal, action, parts, pinned)
                for parts in sorted(statement.tables)
            )
        except Problem as problem:
            refusal = problem
        entry = _entry(
            principal,
            action,
            statement.sql,
            revision=recording.revision,
            refusal=refusal,
            readings=readings,
            parameters=parameters,
        )
        identifier = recording.record(entry)
        return refusal or Permit(
            principal=principal,
            action=action,
            readings=readings,
            revision=recording.revision,
            since=at.now,
            decided_at=decided_at,
            entry=identifier,
        )

    def _refused(
        self, principal: Principal, sql: str, refusal: Problem, recording: Recording
    ) -> Problem:
        at = Moment(recording.connection, recording.revision, self._clock())
        try:
            principal = self._answers.principal(at, principal)
        except Unauthenticated as nobody:
            refusal = nobody
        entry = _entry(
            principal, Action.QUERY, sql, revision=recording.revision, refusal=refusal, readings=()
        )
        recording.record(entry)
        return refusal

    def _reading(
        self,
        at: Moment,
        principal: Principal,
        action: Action,
        parts: tuple[str, ...],
        pinned: Mapping[str, int],
    ) -> Reading:
        dataset = _dataset_named(parts)
        release = self._answers.newest(at, dataset)
        decision = self._answers.decision(at, principal, action, dataset)
        if not decision.allowed:
            knows = any(
                self._answers.decision(at, principal, telling, dataset).allowed
                for telling in _TELLING
            )
            if release is None or not knows:
                raise unknown(".".join(parts))
            enforcement.require(
                decision,
                next_step=f"Ask for access: marketplace request {dataset}. "
                f"What stands in the way: marketplace why {dataset}.",
            )
        if release is None:
            raise unknown(".".join(parts))
        if str(dataset) in pinned:
            release = self._answers.release(at, dataset, pinned[str(dataset)])
        address = resolve_table(release, parts)
        table = next(table for table in release.tables if table.name == address.name)
        scope = enforcement.scope_of(decision, table)
        return Reading(release=release, table=table, scope=scope, decision=decision)


def _dataset_named(parts: tuple[str, ...]) -> DatasetAddress:
    if len(parts) not in (2, 3):
        raise unknown(".".join(parts))
    try:
        return DatasetAddress(parts[0], parts[1])
    except InvalidAddress:
        raise unknown(".".join(parts)) from None


def _earliest(principal: Principal, decisions: Iterable[Decision]) -> datetime:
    """The first moment at which time alone could change the decisions or the caller."""
    ends = (decision.until for decision in decisions)
    return min([principal.valid_until, *(end for end in ends if end is not None)])


def _same(decision: Decision, read: Reading) -> bool:
    return (
        decision.allowed
        and decision.grant == read.decision.grant
        and decision.obligations == read.decision.obligations
    )


def _recorded(read: Reading) -> dict[str, str | int | list[str]]:
    return {
        "table": str(read.release.dataset.table(read.table.name)),
        "release": read.release.number,
        "grant": read.decision.grant,
        "rule": read.decision.rule,
        "columns": list(read.scope.columns),
    }


def _kept(sql: str) -> str:
    """What is recorded of a refused text, which may be of any length: nobody may fill the log."""
    if len(sql) <= _MOST_KEPT:
        return sql
    digest = hashlib.sha256(sql.encode(errors="surrogatepass")).hexdigest()
    return f"{sql[:_MOST_KEPT]} ... ({len(sql)} characters in all, SHA-256 {digest})"


def _entry(
    principal: Principal,
    action: Action,
    sql: str,
    *,
    revision: int,
    refusal: Problem | None,
    readings: tuple[Reading, ...],
    parameters: bytes | None = None,
) -> Entry:
    reasons = dict.fromkeys(read.decision.reason for read in readings)
    reason = str(refusal) if refusal else " ".join(reasons)
    return Entry(
        kind=EntryKind.READ_DECIDED,
        facts={
            "action": action.value,
            "allowed": refusal is None,
            "refused_as": type(refusal).__name__ if refusal else "",
            "project": principal.project or "",
            "purpose": principal.project_purpose,
            "policy_revision": revision,
            "tables": [_recorded(read) for read in readings],
        },
        person={
            "person": principal.person_id,
            "name": principal.person_name,
            "reason": reason,
            "sql": sql,
            # Arrow as it came: only a confined worker decodes what a stranger sends.
            **({} if parameters is None else {"parameters": b64encode(parameters).decode()}),
        },
    )
