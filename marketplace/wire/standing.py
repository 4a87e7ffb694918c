"""Standing offers, stops, extensions, and an organisation's people and their roles."""

from datetime import date, datetime

import msgspec

from marketplace.wire.scope import ScopeOfTable


class OfferForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What everyone up to an audience may read of a dataset; without `tables`, all of it."""

    dataset: str
    audience: str
    tables: tuple[ScopeOfTable, ...] = ()
    last_day: date | None = None


class OfferDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A standing offer. `what` says its scope in sentences; `in_force` whether it is open now."""

    id: str
    dataset: str
    audience: str
    tables: tuple[ScopeOfTable, ...]
    what: tuple[str, ...]
    last_day: date | None
    made_at: datetime
    ended_at: datetime | None
    in_force: bool


class StopForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to close, and to whom.

    `dataset` is organisation.dataset or organisation.* ; without it, everything. Of `audience` (and
    every less trusted one), `organisation`, `project` and `person` (by e-mail address) one may be
    given; without any, it is closed to everybody.
    """

    reason: str
    dataset: str | None = None
    audience: str | None = None
    organisation: str | None = None
    project: str | None = None
    person: str | None = None


class StopDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What is closed (`dataset`, `*` for everything) to one party or to everybody, by which authority.

    `person` and `made_by` are names of people.
    """

    id: str
    authority: str
    dataset: str
    audience: str | None
    organisation: str | None
    project: str | None
    person: str | None
    reason: str
    made_by: str
    made_at: datetime
    ended_at: datetime | None
    end_reason: str


class ExtensionForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long an agreement is to last, and why."""

    last_day: date
    reason: str


class ExtensionDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One time that an agreement was revised; where its last day stayed, it was narrowed."""

    before: date
    after: date
    at: datetime
    why: str


class PersonForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is at home in the caller's organisation."""

    name: str
    email: str


class PersonDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A person and the organisation that they are at home in."""

    name: str
    email: str
    organisation: str


class AppointmentForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to name to a role, from today unless a day is given.

    `in_place_of` is the owner, by e-mail address, for whom a deputy decides; the caller unless given.
    """

    email: str
    role: str
    first_day: date | None = None
    last_day: date | None = None
    in_place_of: str | None = None


class AppointmentEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an appointment ends: at once, or with the end of a day."""

    last_day: date | None = None


class AppointmentDescription(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a role, from when until when; `in_place_of` is the name of a deputy's owner."""

    id: str
    name: str
    email: str
    role: str
    organisation: str
    in_place_of: str | None
    first_day: date
    last_day: date | None
