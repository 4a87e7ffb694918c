"""Who can read what, and how that changed."""

from datetime import datetime

import msgspec


class ReaderDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A person who can read, and until when as things stand (none: no end known)."""

    name: str
    email: str
    organisation: str
    until: datetime | None = None


class AccessDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which people read a dataset.

    `acting` is the project or role that they act in, `by` the rule that decides, in words, and
    `grant` what it came from. `what` says the scope in sentences. `suspended_by` says why the newest
    release cannot be served so.
    """

    dataset: str
    acting: str
    by: str
    grant: str
    actions: tuple[str, ...]
    what: tuple[str, ...]
    until: datetime | None = None
    suspended_by: tuple[str, ...] = ()
    people: tuple[ReaderDescription, ...] = ()


class AccessOverview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found, true at a moment under a revision of the policy."""

    revision: int
    at: datetime
    access: tuple[AccessDescription, ...]


class PersonNamed(msgspec.Struct, frozen=True, kw_only=True):
    """A person whom a change is about."""

    name: str
    email: str
    organisation: str


class AccessChange(msgspec.Struct, frozen=True, kw_only=True):
    """What people gained, lost, or read by another rule than before (`turn`).

    `before` and `after` are the rules in words, empty where nothing allowed.
    """

    turn: str
    dataset: str
    acting: str
    actions: tuple[str, ...]
    before: str
    after: str
    because: str
    people: tuple[PersonNamed, ...]


class AccessChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Every change between two points of the policy's history."""

    since_revision: int
    since: datetime
    until_revision: int
    until: datetime
    changes: tuple[AccessChange, ...]
