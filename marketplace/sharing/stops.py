"""Stops: what an owner, an organisation or the marketplace closed, to whom, and the denials of it."""

from datetime import datetime
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, RowMapping, Select, insert, select, update

from access_policies import principals, rules, standing
from access_policies.decision import Decision
from access_policies.rules import DATA_ACTIONS
from access_policies.vocabulary import Audience, Authority
from marketplace.errors import RequestMalformed, UnknownRecord
from marketplace.identity.records import people
from marketplace.sharing.records import stops


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Whom something is closed to: one of these, or everybody where none is given.

    An audience stands for itself and every less trusted one, an organisation for whoever acts for it
    or is employed by it, and a person (by identifier) for whatever they act in.
    """

    audience: Audience | None = None
    organisation: str | None = None
    project: str | None = None
    person: str | None = None

    def __post_init__(self) -> None:
        """Raise RequestMalformed where more than one is given."""
        if sum(part is not None for part in msgspec.structs.astuple(self)) > 1:
            raise RequestMalformed(
                "A stop is for one audience, one organisation, one project or one person.",
                next_step="Make a stop for each.",
            )

    @property
    def is_everybody(self) -> bool:
        """Whether nobody in particular is meant."""
        return self == Party()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that its denials are written for."""
        if self.audience is not None:
            return standing.denied_audience(self.audience)
        if self.organisation is not None:
            return principals.organisation(self.organisation), principals.employer(
                self.organisation
            )
        if self.project is not None:
            return (principals.project(self.project),)
        if self.person is not None:
            return (principals.person(self.person),)
        return (principals.EVERYONE,)


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """What is closed to a party: one dataset's data, an organisation's (`mhclg.*`), or everything (`*`).

    Data can still be found and asked for where it is stopped; a party that is stopped everywhere can
    do nothing at all. The same authority that made a stop ends it, and nobody else. `made_by` is an
    identifier; `made_by_name` and `person_name` are for people.
    """

    id: str
    authority: Authority
    dataset: str
    party: Party
    reason: str
    made_by: str
    made_by_name: str = ""
    person_name: str = ""
    made_at: datetime
    ended_at: datetime | None = None
    end_reason: str = ""


def make(
    connection: Connection,
    authority: Authority,
    dataset: str,
    party: Party,
    reason: str,
    *,
    by: str,
    now: datetime,
) -> Stop:
    """Write a stop and its denials. The caller advances the revision."""
    stop = Stop(
        id=uuid4().hex,
        authority=authority,
        dataset=dataset,
        party=party,
        reason=reason,
        made_by=by,
        made_at=now,
    )
    written = standing.denial_rules(
        stop.id,
        authority,
        subjects=party.names,
        dataset=dataset,
        actions=(rules.ANY,) if dataset == rules.ANY else tuple(sorted(DATA_ACTIONS)),
        begins=now,
    )
    for rule in written:
        rules.write(connection, rule)
    row = msgspec.structs.asdict(party) | {
        "id": stop.id,
        "authority": authority.value,
        "dataset": dataset,
        "reason": reason,
        "made_by": by,
        "made_at": now,
    }
    connection.execute(insert(stops).values(row))
    return stop


def end(connection: Connection, stop: Stop, reason: str, *, by: str, now: datetime) -> None:
    """End a stop and its denials at once. The caller advances the revision."""
    rules.end(connection, standing.denial_grant(stop.id, stop.authority), now=now)
    ended = update(stops).where(stops.c.id == stop.id)
    connection.execute(ended.values(ended_by=by, ended_at=now, end_reason=reason))


def read(connection: Connection, identifier: str) -> Stop:
    """One stop. Raises UnknownRecord."""
    query = _selection().where(stops.c.id == identifier)
    row = connection.execute(query).mappings().one_or_none() if identifier.isalnum() else None
    if row is None:
        raise unknown(identifier)
    return _stop(row)


def list_all(connection: Connection) -> tuple[Stop, ...]:
    """Every stop, newest first, ended ones too."""
    ordered = _selection().order_by(stops.c.made_at.desc(), stops.c.id)
    return tuple(_stop(row) for row in connection.execute(ordered).mappings())


def behind(connection: Connection, decision: Decision) -> Stop | None:
    """The stop whose denial determined a refusal, if it was one."""
    identifier = standing.denial_of(decision.rule)
    query = _selection().where(stops.c.id == identifier)
    row = connection.execute(query).mappings().one_or_none() if identifier else None
    return None if row is None else _stop(row)


def unknown(identifier: str) -> UnknownRecord:
    """The one answer for a stop that is not there or not the caller's to see."""
    return UnknownRecord(
        f"There is no stop {identifier[:32]!r} that you can see.",
        next_step="List them with: marketplace stops.",
    )


def _selection() -> Select[*tuple[object, ...]]:
    maker, stopped = people.alias(), people.alias()
    return select(
        stops, maker.c.name.label("made_by_name"), stopped.c.name.label("person_name")
    ).select_from(
        stops.outerjoin(maker, maker.c.id == stops.c.made_by).outerjoin(
            stopped, stopped.c.id == stops.c.person
        )
    )


def _stop(row: RowMapping) -> Stop:
    return Stop(
        id=row["id"],
        authority=Authority(row["authority"]),
        dataset=row["dataset"],
        party=Party(
            audience=None if row["audience"] is None else Audience(row["audience"]),
            organisation=row["organisation"],
            project=row["project"],
            person=row["person"],
        ),
        reason=row["reason"],
        made_by=row["made_by"],
        made_by_name=row["made_by_name"] or "",
        person_name=row["person_name"] or "",
        made_at=row["made_at"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
    )
