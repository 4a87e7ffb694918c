"""Who can read a dataset, what a person can read, and what changed: told to those who look after it.

An answer is found in one consistent view without any lock, since it may take seconds. Then one
short transaction asks whether its caller may still hear it, and writes that it was given: one entry.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection

from access_policies import history
from access_policies.decision_point import DecisionPoint
from access_policies.history import Point
from access_policies.vocabulary import Action
from catalogue import datasets
from catalogue.address import DatasetAddress
from marketplace import enforcement
from marketplace.admission import Admission
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.discovery import unknown
from marketplace.errors import AccessDenied, RequestMalformed, UnknownRecord
from marketplace.identity import people
from marketplace.identity.people import Person
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import renew
from marketplace.oversight import points, reading
from marketplace.oversight.access import Access
from marketplace.oversight.changes import Change, changes
from marketplace.sharing.step import Steps

_OVERSEEING = (Action.AUDIT, Action.DECIDE_REQUEST)
_LONGEST_TYPED = 320

Found = TypeVar("Found", Access, Change)


class Told(msgspec.Struct, Generic[Found], frozen=True, kw_only=True):
    """An answer, and at which point of the history it was true."""

    at: Point
    found: tuple[Found, ...]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed between two points."""

    since: Point
    until: Point
    found: tuple[Change, ...]


class Asking(NamedTuple):
    """A question while its answer is found: a consistent view, its caller, and the moment."""

    connection: Connection
    principal: Principal
    now: datetime


class Oversight:
    """Answers about others' access, for owners, operators and auditors; and about one's own."""

    def __init__(self, *, database: Database, decision_point: DecisionPoint, clock: Clock) -> None:
        self._database = database
        self._decision_point = decision_point
        self._clock = clock
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)
        self._places = Admission("questions about access", per_person=1, in_all=4)

    def who(self, principal: Principal, dataset: DatasetAddress) -> Told[Access]:
        """Everybody who can read a dataset, by what and until when.

        Raises AccessDenied, UnknownDataset also for one that the caller may not know of.
        """
        name = str(dataset)

        def find(asking: Asking) -> tuple[Access, ...]:
            self._overseen(asking, {name})
            return reading.who(asking.connection, self._decision_point, name, now=asking.now)

        facts: dict[str, Fact] = {"question": "who", "dataset": name}
        return self._told(principal, find, facts, about=dataset)

    def what(self, principal: Principal, person: str | None = None) -> Told[Access]:
        """What the caller can read in each capacity of theirs; or what another person can.

        Of another (by e-mail address or identifier) only what the caller oversees is told; of one
        who is not known, nothing. Raises AccessDenied.
        """

        def find(asking: Asking) -> tuple[Access, ...]:
            connection, caller, now = asking
            if person is None:
                asked = people.get(connection, caller.person_id)
                return reading.what(connection, self._decision_point, asked, now=now)
            heard = self._overseen(asking, datasets.names(connection))
            found = _person(connection, person)
            if found is None:
                return ()
            read = reading.what(connection, self._decision_point, found, now=now)
            return tuple(access for access in read if access.dataset in heard)

        facts: dict[str, Fact] = {"question": "what"}
        if person is None:
            return self._told(principal, find, facts, own=True)
        return self._told(principal, find, facts, about_person=_typed(person))

    def changes(
        self,
        principal: Principal,
        since: str,
        until: str | None = None,
        dataset: DatasetAddress | None = None,
    ) -> Changes:
        """Who gained and who lost what of the datasets that the caller oversees, or of one.

        `since` and `until` are revisions, days or moments (`points.meant`); without `until`, now.
        Raises AccessDenied, RequestMalformed, PolicyError, UnknownDataset, AnswerTooLarge.
        """
        ends: list[Point] = []

        def find(asking: Asking) -> tuple[Change, ...]:
            connection = asking.connection
            wanted = datasets.names(connection) if dataset is None else {str(dataset)}
            heard = self._overseen(asking, wanted)
            ends[:] = (
                points.meant(connection, since),
                points.meant(connection, until)
                if until
                else history.newest(connection, asking.now),
            )
            if ends[0].revision > ends[1].revision:
                raise RequestMalformed(
                    "The changes would end before they begin.",
                    next_step="Give the earlier point as since, and the later one as until.",
                )
            return changes(connection, self._decision_point, ends[0], ends[1], heard)

        facts: dict[str, Fact] = {
            "question": "changes",
            "dataset": str(dataset) if dataset is not None else "*",
            "since": since[:_LONGEST_TYPED],
            "until": (until or "")[:_LONGEST_TYPED],
        }
        told = self._told(principal, find, facts, about=dataset)
        return Changes(since=ends[0], until=ends[1], found=told.found)

    def _told(
        self,
        principal: Principal,
        find: Callable[[Asking], tuple[Found, ...]],
        facts: dict[str, Fact],
        *,
        about: DatasetAddress | None = None,
        own: bool = False,
        **person: str,
    ) -> Told[Found]:
        """Find an answer; then tell and record it, as far as the caller may still hear it."""
        found: tuple[Found, ...] = ()
        refused: AccessDenied | None = None
        with self._places.place(principal.person_id), self._database.reading() as connection:
            now = self._clock()
            asking = Asking(connection, renew(connection, principal, now=now), now)
            at = history.newest(connection, now)
            try:
                found = find(asking)
            except AccessDenied as denied:
                refused = denied
        with self._steps.begin(principal) as step:
            if about is not None and not step.may_know_of(about):
                raise unknown(str(about))
            if refused is not None:
                raise refused
            if not own and found:
                still = Asking(step.connection, step.principal, step.now)
                heard = self._overseen(still, {one.dataset for one in found})
                found = tuple(one for one in found if one.dataset in heard)
            facts = facts | {"found": len(found), "policy_revision": at.revision}
            step.record(EntryKind.ACCESS_EXPLAINED, facts, "", **person)
        return Told(at=at, found=found)

    def _overseen(self, asking: Asking, datasets: Collection[str]) -> frozenset[str]:
        """Those of the datasets that the caller audits or decides on. Raises AccessDenied for none."""
        found = frozenset[str]().union(
            *(
                enforcement.permitted(
                    asking.connection,
                    self._decision_point,
                    asking.principal,
                    action,
                    datasets,
                    now=asking.now,
                )
                for action in _OVERSEEING
            )
        )
        if not found:
            raise AccessDenied(
                "Only owners, operators and auditors of a dataset may ask about others.",
                next_step="Ask about yourself with: marketplace what.",
            )
        return found


def _person(connection: Connection, named: str) -> Person | None:
    if not named.isprintable():
        return None
    try:
        return people.find_by_email(connection, named) or people.get(connection, named)
    except UnknownRecord:
        return None


def _typed(text: str) -> str:
    """What somebody typed, in a form and a length that the log can keep."""
    return text[:_LONGEST_TYPED].encode(errors="backslashreplace").decode()
