"""What a read rests on: who asks, whether they may, and which release is the newest.

Each is found in the deciding transaction, or given out again there while neither the policy
revision nor the time can have changed it (design: `access_policies/memo.py`, decision 0011).
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.memo import Memo
from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from catalogue.dataset import Release
from catalogue.release_shelf import ReleaseShelf
from marketplace import enforcement
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import renew

_PRINCIPALS = 4096
_RELEASES = 256


class Moment(NamedTuple):
    """A transaction that holds the policy revision, and the time that it decides at."""

    connection: Connection
    revision: int
    now: datetime


class Answers:
    """Answers within a moment. Safe to share between threads.

    Only what opens something is kept: a refusal is found anew each time.
    """

    def __init__(self, decision_point: DecisionPoint) -> None:
        self._decision_point = decision_point
        self._shelf = ReleaseShelf(_RELEASES)
        self._principals: Memo[str, Principal] = Memo(_PRINCIPALS)
        self._newest: Memo[DatasetAddress, Release] = Memo(_RELEASES)

    def principal(self, at: Moment, principal: Principal) -> Principal:
        """The principal as they stand at the moment. Raises Unauthenticated."""
        token = principal.token_id
        found = self._principals.find(token, revision=at.revision, now=at.now)
        if found is None:
            found = renew(at.connection, principal, now=at.now)
            self._principals.keep(
                token, found, revision=at.revision, since=at.now, until=found.changes_at
            )
        return found

    def decision(
        self, at: Moment, principal: Principal, action: Action, dataset: DatasetAddress
    ) -> Decision:
        """Whether the principal may."""
        return enforcement.decide(
            at.connection,
            self._decision_point,
            principal,
            action,
            str(dataset),
            now=at.now,
            under=at.revision,
        )

    def newest(self, at: Moment, dataset: DatasetAddress) -> Release | None:
        """The newest release, if the dataset has one."""
        found = self._newest.find(dataset, revision=at.revision, now=at.now)
        if found is None:
            found = self._shelf.latest(at.connection, dataset)
            if found is not None:
                self._newest.keep(dataset, found, revision=at.revision, since=at.now, until=None)
        return found

    def release(self, at: Moment, dataset: DatasetAddress, number: int) -> Release:
        """The release of that number. Raises UnknownRelease."""
        return self._shelf.read(at.connection, dataset, number)
