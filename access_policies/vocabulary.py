"""The words a decision is made of (XACML: subject, action, resource, environment)."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class Action(StrEnum):
    """What a caller may ask to do. Discovering is apart from reading metadata, and both from data."""

    DISCOVER = "dataset:discover"
    READ_METADATA = "dataset:read_metadata"
    QUERY = "dataset:query"
    DOWNLOAD = "dataset:download"
    PUBLISH = "dataset:publish"
    REQUEST_ACCESS = "agreement:request"
    DECIDE_REQUEST = "agreement:decide"
    AUDIT = "audit:read"
    ADMINISTER = "marketplace:administer"


class Audience(IntEnum):
    """Who is asking, from the most to the least trusted; a rollout stage is the highest one open."""

    GOVERNMENT = 0
    LOCAL_GOVERNMENT = 1
    RESEARCHER = 2
    BUSINESS = 3
    PUBLIC = 4


class Role(StrEnum):
    """What a person does for an organisation."""

    PUBLISHER = "publisher"
    OWNER = "owner"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks. `principals` are the names that rules may be written for.

    For example `project:sheffield_family_squad`, `audience:local_government`, `person:<id>`,
    `role:owner@mhclg`, `role:operator`. `audience` is the more restricted of project and person.
    """

    person: str
    principals: frozenset[str]
    audience: Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What is asked for: a dataset as `organisation.dataset`, or `*` for the marketplace itself.

    `stage` is the dataset's own rollout stage, the highest audience that it is open to.
    """

    dataset: str
    stage: Audience = Audience.PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The circumstances: the time (UTC, aware), the marketplace's stage, the purpose stated."""

    now: datetime
    stage: Audience
    purpose: str = "*"
