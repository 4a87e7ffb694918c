"""Standing offers: an owner's grant to a whole audience, open data for the public say."""

from datetime import date, datetime
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from access_policies import rules, standing
from access_policies.decision import LimitOutput, OutputTier, RestrictTo
from access_policies.rules import GrantKind
from access_policies.vocabulary import Audience
from catalogue.address import DatasetAddress
from marketplace.clock import end_of_last_day
from marketplace.errors import UnknownRecord
from marketplace.sharing.records import offers
from marketplace.sharing.scopes import Scope


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What everyone up to an audience may read of a dataset, until a last day or an owner's word."""

    id: str
    dataset: DatasetAddress
    audience: Audience
    scope: Scope
    last_day: date | None
    made_by: str
    made_at: datetime
    ended_at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it is open at that moment."""
        over = self.last_day is not None and now >= end_of_last_day(self.last_day)
        return self.ended_at is None and not over


def make(
    connection: Connection,
    dataset: DatasetAddress,
    audience: Audience,
    scope: Scope,
    last_day: date | None,
    *,
    by: str,
    now: datetime,
) -> Offer:
    """Write an offer and its rules. The caller advances the revision."""
    offer = Offer(
        id=uuid4().hex,
        dataset=dataset,
        audience=audience,
        scope=scope,
        last_day=last_day,
        made_by=by,
        made_at=now,
    )
    row = msgspec.structs.asdict(offer) | {"dataset": str(dataset), "audience": int(audience)}
    row["scope"] = msgspec.json.encode(scope).decode()
    connection.execute(insert(offers).values(row))
    written = standing.offer_rules(
        offer.id,
        str(dataset),
        audience,
        (RestrictTo(tables=scope), LimitOutput(tier=OutputTier.ROWS)),
        begins=now,
        ends=end_of_last_day(last_day) if last_day is not None else None,
    )
    for rule in written:
        rules.write(connection, rule)
    return offer


def end(connection: Connection, offer: Offer, *, now: datetime) -> None:
    """End an offer and its rules at once. The caller advances the revision."""
    rules.end(connection, f"{GrantKind.OFFER}:{offer.id}", now=now)
    ended = update(offers).where(offers.c.id == offer.id, offers.c.ended_at.is_(None))
    connection.execute(ended.values(ended_at=now))


def read(connection: Connection, identifier: str) -> Offer:
    """One offer, locked until the transaction ends. Raises UnknownRecord."""
    if not identifier.isalnum():
        raise _unknown(identifier)
    query = select(offers).where(offers.c.id == identifier).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise _unknown(identifier)
    return _offer(row)


def list_all(connection: Connection) -> tuple[Offer, ...]:
    """Every offer, newest first, ended ones too."""
    ordered = select(offers).order_by(offers.c.made_at.desc(), offers.c.id)
    return tuple(_offer(row) for row in connection.execute(ordered).mappings())


def _unknown(identifier: str) -> UnknownRecord:
    return UnknownRecord(
        f"There is no standing offer {identifier[:32]!r}.",
        next_step="List them with: marketplace offers.",
    )


def _offer(row: RowMapping) -> Offer:
    return Offer(
        id=row["id"],
        dataset=DatasetAddress.parse(row["dataset"]),
        audience=Audience(row["audience"]),
        scope=msgspec.json.decode(row["scope"], type=Scope),
        last_day=row["last_day"],
        made_by=row["made_by"],
        made_at=row["made_at"],
        ended_at=row["ended_at"],
    )
