"""The words a decision is made of (XACML: subject, action, resource, environment)."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class Action(StrEnum):
    """What a caller may ask to do.

    That a dataset exists, what it is about, how its tables look (columns, types, counts), its first
    rows, and its rows are told apart, and so is the work of those who look after it.
    """

    DISCOVER = "dataset:discover"
    READ_METADATA = "dataset:read_metadata"
    READ_SCHEMA = "dataset:read_schema"
    PREVIEW = "dataset:preview"
    QUERY = "dataset:query"
    DOWNLOAD = "dataset:download"
    PUBLISH = "dataset:publish"
    REQUEST_ACCESS = "agreement:request"
    DECIDE_REQUEST = "agreement:decide"
    AUDIT = "audit:read"
    ADMINISTER_ORGANISATION = "organisation:administer"
    ADMINISTER = "marketplace:administer"


class Audience(IntEnum):
    """Who is asking, from the most to the least trusted; a rollout stage is the highest one open."""

    GOVERNMENT = 0
    LOCAL_GOVERNMENT = 1
    RESEARCHER = 2
    BUSINESS = 3
    PUBLIC = 4


class Role(StrEnum):
    """What a person does for an organisation, or (operators and auditors) for the marketplace.

    A deputy decides in the place of one owner. An administrator names who holds the other roles of
    their organisation, and reads no data by it.
    """

    PUBLISHER = "publisher"
    OWNER = "owner"
    DEPUTY = "deputy"
    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    AUDITOR = "auditor"


class Authority(StrEnum):
    """Who closed something. Only the same authority opens it again."""

    OWNER = "owner"
    ORGANISATION = "organisation"
    MARKETPLACE = "marketplace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks. `principals` are the names that rules may be written for.

    For example `project:sheffield_family_squad`, `audience:local_government`, `person:<id>`,
    `role:owner@mhclg`, `role:operator`. `audience` is the more restricted of project and person,
    `organisation` the one that they act for: their project's, or the one that they hold a role in.
    """

    person: str
    principals: frozenset[str]
    audience: Audience
    organisation: str = ""


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
