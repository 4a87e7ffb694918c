"""Who a token stands for: a person in one project, or in one role."""

from dataclasses import dataclass
from datetime import datetime

from access_policies.vocabulary import Role, Subject
from marketplace.identity.people import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose token was checked.

    `valid_until` is the earliest end of token, membership, secondment, appointment and accreditation:
    at that moment the caller is no longer this principal. A decision's own `until` covers the rules alone, so whoever keeps
    an answer keeps it until the earlier of the two. `changes_at` is the first moment at which time
    alone could make them act otherwise, as when another secondment begins: never later.
    `in_place_of` is the owner for whom a deputy decides.
    """

    person_id: str
    person_name: str
    token_id: str
    project: str | None = None
    project_purpose: str = ""
    role: Role | None = None
    organisation: str | None = None
    in_place_of: Person | None = None
    subject: Subject
    valid_until: datetime
    changes_at: datetime
