"""Requests, approvals, agreements and explanations, with the law's words as plain text.

The service checks the words; `marketplace/sharing` has what they mean.
"""

from datetime import date, datetime

import msgspec

from marketplace.wire.scope import ScopeOfTable
from marketplace.wire.standing import ExtensionDescription


class ShareRequestForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data share request as the asker fills it in.

    Without `tables`, every table of the dataset whole. `named_people` are e-mail addresses of
    members; without any, every member of the project. Access ends at the midnight in London after
    `last_day`.
    """

    dataset: str
    tables: tuple[ScopeOfTable, ...] = ()
    actions: tuple[str, ...] = ("dataset:query", "dataset:download")
    last_day: date
    named_people: tuple[str, ...] = ()
    data_type: str
    data_subjects: str = ""
    aims: str
    how_data_helps: str = ""
    benefits: tuple[str, ...] = ()
    benefit_explained: str = ""
    other_organisations: tuple[str, ...] = ()
    impact_if_not_given: str = ""
    needed_by: date | None = None
    power: str = "dont_know"
    power_named: str = ""
    gateway: str = ""
    reviewed_by_lawyer: str = ""
    article_6: str | None = None
    article_9: str | None = None
    schedule_1: str | None = None
    leaves_uk: bool = False
    countries: tuple[str, ...] = ()
    controller: str | None = None
    dpia_reference: str = ""
    reviewed_by_data_protection: str = ""
    deletion: str = ""
    reviewed_by_security: str = ""


class ApprovalForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An owner's yes: as asked, or less where `scope` or `last_day` say so.

    `most_rows` and `most_bytes` are the most that one result may have.
    """

    reason: str
    scope: tuple[ScopeOfTable, ...] | None = None
    last_day: date | None = None
    output_tier: str = "rows"
    most_rows: int | None = None
    most_bytes: int | None = None


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a request or an agreement is moved."""

    reason: str = ""


class RequestMove(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a request's history; `by_name` is the person."""

    before: str
    after: str
    by_name: str
    at: datetime
    why: str


class ShareRequestDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it stands. `asked` is its scope written out; `flags` are for the owner to weigh.

    `what` says the scope in sentences.
    """

    id: str
    project: str
    dataset: str
    state: str
    draft: ShareRequestForm
    asked: tuple[ScopeOfTable, ...]
    what: tuple[str, ...]
    flags: tuple[str, ...]
    asked_at: datetime
    moves: tuple[RequestMove, ...]


class AgreementDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a project may do with a dataset, until `ends_at`.

    `ends_within_days` warns: from 30, 7 and 1 days before its last on it is that number.
    `extensions` say what its last day was before. `state` is how it stands now; `suspended_by` says what the newest release no longer has so.
    `what` says in sentences what the scope and the limits of a result come to.
    """

    id: str
    request: str
    project: str
    dataset: str
    state: str
    scope: tuple[ScopeOfTable, ...]
    what: tuple[str, ...]
    actions: tuple[str, ...]
    output_tier: str
    reason: str
    notes: tuple[str, ...]
    last_day: date
    ends_at: datetime
    made_at: datetime
    ended_at: datetime | None = None
    end_reason: str = ""
    suspended_by: tuple[str, ...] = ()
    extensions: tuple[ExtensionDescription, ...] = ()
    ends_within_days: int | None = None


class ExplanationOfAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is allowed or not, and what to ask for (`ask`).

    `acting` is the project or role that it is about.
    """

    allowed: bool
    sentence: str
    obstacles: tuple[str, ...] = ()
    ask: str = ""
    until: datetime | None = None
    acting: str = ""
