"""One use case under way: its transaction, its moment, its caller, and what that caller may do.

Each step takes the policy revision first, asks the decision point whether the caller may, and
writes what it does together with its rules and its audit entry, or nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from access_policies import revision, rules
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action
from catalogue import releases
from catalogue.address import DatasetAddress
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind, Fact, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AccessDenied, InvalidSharing
from marketplace.identity import projects
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.identity.tokens import renew

_OVERSEEING = (Action.DECIDE_REQUEST, Action.AUDIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one use case does, it does through this; `principal` is the caller as they stand now.

    `under` is the policy revision that it holds, None where it moves that itself.
    """

    connection: Connection
    under: int | None
    now: datetime
    principal: Principal
    decision_point: DecisionPoint

    def project(self) -> Project:
        """The project that the caller acts in. Raises InvalidSharing where they act in a role."""
        if self.principal.project is None:
            raise InvalidSharing(
                "Data is asked for by a project, and this token belongs to a role.",
                next_step="Send a token of the project that needs the data.",
            )
        return projects.get(self.connection, self.principal.project)

    def is_own(self, project: str) -> bool:
        """Whether the caller acts in that project."""
        return self.principal.project == project

    def allows(self, action: Action, dataset: DatasetAddress | str) -> bool:
        """Whether the caller may do that to a dataset, to all of an organisation, or to all there is."""
        return self.decide(action, dataset).allowed

    def oversees(self, dataset: DatasetAddress | str) -> bool:
        """Whether the caller decides on a dataset, or all of an organisation's, or audits it."""
        return any(self.allows(action, dataset) for action in _OVERSEEING)

    def overseen(self, datasets: set[str]) -> set[str]:
        """Those of the datasets that the caller decides on or audits."""
        return {
            name
            for action in _OVERSEEING
            for name in enforcement.permitted(
                self.connection, self.decision_point, self.principal, action, datasets, now=self.now
            )
        }

    def may_know_of(self, dataset: DatasetAddress) -> bool:
        """Whether there is such a dataset for the caller at all."""
        if releases.latest(self.connection, dataset) is None:
            return False
        known_by = (Action.DISCOVER, Action.QUERY, Action.DECIDE_REQUEST)
        return any(self.allows(action, dataset) for action in known_by)

    def check_owner(self, dataset: DatasetAddress) -> None:
        """Raise AccessDenied unless the caller decides on requests for the dataset."""
        decision = self.decide(Action.DECIDE_REQUEST, dataset)
        enforcement.require(decision, next_step=f"An owner at {dataset.organisation} can do this.")

    def check_operator(self) -> None:
        """Raise AccessDenied unless the caller administers the marketplace."""
        decision = self.decide(Action.ADMINISTER, rules.ANY)
        enforcement.require(decision, next_step="An operator of the marketplace can do this.")

    def check_overseer(self) -> None:
        """Raise AccessDenied unless the caller administers the marketplace or audits all of it."""
        if not self.decide(Action.AUDIT, rules.ANY).allowed:
            self.check_operator()

    def record(self, kind: EntryKind, facts: dict[str, Fact], reason: str, **about: str) -> None:
        """Write the audit entry of what the step does; `about` is what identifies a person."""
        person = {
            "person": self.principal.person_id,
            "name": self.principal.person_name,
            "reason": reason,
        }
        if self.principal.in_place_of is not None:
            person["in_place_of"] = self.principal.in_place_of.id
        record(self.connection, Entry(kind=kind, facts=facts, person=person | about), now=self.now)

    def record_reading(self, what: str, found: int) -> None:
        """Write that the caller looked at requests or agreements."""
        facts: dict[str, Fact] = {"what": what, "found": found}
        self.record(EntryKind.SHARING_READ, facts | {"project": self.principal.project or ""}, "")

    def decide(self, action: Action, dataset: DatasetAddress | str) -> Decision:
        """The decision on the caller's doing that, with its reason."""
        return enforcement.decide(
            self.connection,
            self.decision_point,
            self.principal,
            action,
            str(dataset),
            now=self.now,
            under=self.under,
        )


class Steps:
    """Begins steps, each in a transaction of its own."""

    def __init__(
        self,
        *,
        database: Database,
        decision_point: DecisionPoint,
        clock: Clock,
        refused_as: EntryKind = EntryKind.SHARING_REFUSED,
    ) -> None:
        self._database = database
        self._decision_point = decision_point
        self._clock = clock
        self._refused_as = refused_as

    @contextmanager
    def begin(self, principal: Principal, *, changes_policy: bool = False) -> Iterator[Step]:
        """A step, committed when the block ends and rolled back where it raises.

        A step that writes rules says so: it then waits for all who decide, and they for it.
        """
        try:
            with self._database.writing() as connection:
                under = None
                if changes_policy:
                    revision.advance(connection)
                else:
                    under = revision.lock_shared(connection)
                now = self._clock()
                caller = renew(connection, principal, now=now)
                yield self._step(connection, now, caller, under=under)
        except AccessDenied as refusal:
            # What was refused is rolled back; that it was tried is kept.
            with self._database.writing() as connection:
                refused = self._step(connection, self._clock(), principal)
                refused.record(self._refused_as, {}, refusal.detail)
            raise

    def _step(
        self,
        connection: Connection,
        now: datetime,
        principal: Principal,
        *,
        under: int | None = None,
    ) -> Step:
        return Step(
            connection=connection,
            under=under,
            now=now,
            principal=principal,
            decision_point=self._decision_point,
        )
