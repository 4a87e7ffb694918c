"""What is the case in a marketplace, as plain records: all that the naive evaluator looks at.

Nothing here comes from the rules, slices or capacities of the marketplace; the vocabulary alone is
shared. Moments are aware and in UTC, days are London's.
"""

from dataclasses import dataclass, field
from datetime import date, datetime

from access_policies.vocabulary import Action, Audience, Authority, Role


@dataclass(frozen=True, kw_only=True)
class Project:
    """A squad, a study or a business, run by an organisation."""

    name: str
    organisation: str
    audience: Audience


@dataclass(kw_only=True)
class Span:
    """From a first to a last day (none: open), as it was entered and as it is after it was cut."""

    id: str
    person: str
    first: date
    last: date | None
    entered_last: date | None


@dataclass(kw_only=True)
class Member(Span):
    """A person in a project."""

    project: str


@dataclass(kw_only=True)
class Seconded(Span):
    """A person at a host: one project, or an organisation."""

    project: str | None = None
    organisation: str | None = None


@dataclass(kw_only=True)
class Named(Span):
    """A person in a role, of an organisation or of the marketplace; deputies in an owner's place."""

    role: Role
    organisation: str | None = None
    in_place_of: str | None = None


@dataclass(kw_only=True)
class Token:
    """What a person shows: for one project, or for one role."""

    id: str
    secret: str
    person: str
    expires: datetime
    project: str | None = None
    role: Role | None = None
    organisation: str | None = None
    revoked: bool = False


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What may leave: the tables with their columns, how far results may go, and how many rows."""

    tables: tuple[tuple[str, tuple[str, ...]], ...]
    tier: str = "rows"
    most_rows: int | None = None


@dataclass(kw_only=True)
class Agreement:
    """A project over a dataset for some actions, until the midnight that ends its last day."""

    id: str
    project: str
    dataset: str
    people: tuple[str, ...]
    actions: tuple[Action, ...]
    terms: Terms
    begins: datetime
    last: date
    ended: bool = False


@dataclass(kw_only=True)
class Offer:
    """A dataset for an audience and all more trusted ones."""

    id: str
    dataset: str
    audience: Audience
    terms: Terms
    begins: datetime
    last: date | None
    ended: bool = False


@dataclass(kw_only=True)
class Stop:
    """A dataset, an organisation's (`mhclg.*`) or everything (`*`), closed to a party or to all."""

    id: str
    authority: Authority
    dataset: str
    begins: datetime
    audience: Audience | None = None
    organisation: str | None = None
    project: str | None = None
    person: str | None = None
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class Move:
    """How far a dataset or the marketplace (`*`) is open, from a moment or at once (None).

    With waves, the stage itself is open to invited names only.
    """

    scope: str
    stage: Audience
    waves: tuple[str, ...] | None = None
    begins: datetime | None = None


@dataclass(kw_only=True)
class Facts:
    """Everything, in the order in which it was written."""

    audiences: dict[str, Audience]
    projects: dict[str, Project]
    homes: dict[str, str] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    seconded: list[Seconded] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    accredited: dict[str, date] = field(default_factory=dict)
    listed: dict[str, Audience] = field(default_factory=dict)
    agreements: list[Agreement] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    invited: set[tuple[str, str]] = field(default_factory=set)
    hmg_use_only: set[str] = field(default_factory=set)
