"""What holds without a request: an owner's offer to an audience, an operator's denial.

Each is one step (`step`), as the use cases of `sharing` are.
"""

from datetime import date
from uuid import uuid4

import msgspec

from access_policies import principals, rules, standing
from access_policies.decision_point import DecisionPoint
from access_policies.rules import GrantKind
from access_policies.vocabulary import Audience
from catalogue.address import DatasetAddress
from catalogue.places import Places
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import RequestMalformed, UnknownRecord
from marketplace.identity.principal import Principal
from marketplace.sharing import checks, offers
from marketplace.sharing.offers import Offer
from marketplace.sharing.scopes import Scope
from marketplace.sharing.step import Steps


class StandingRules:
    """Standing offers and denials."""

    def __init__(
        self, *, database: Database, decision_point: DecisionPoint, places: Places, clock: Clock
    ) -> None:
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)
        self._places = places

    def offer(
        self,
        principal: Principal,
        dataset: DatasetAddress,
        audience: Audience,
        scope: Scope = (),
        last_day: date | None = None,
    ) -> Offer:
        """Let everyone up to an audience read a dataset, or what the scope leaves of it.

        Columns that the contract marks as personal cannot be offered. Raises InvalidSharing,
        AccessDenied, UnknownDataset.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            step.check_owner(dataset)
            resolved = checks.of_offer(
                step.connection, self._places, dataset, scope, last_day, now=step.now
            )
            offer = offers.make(
                step.connection,
                dataset,
                audience,
                resolved,
                last_day,
                by=step.principal.person_id,
                now=step.now,
            )
            facts: dict[str, Fact] = {
                "offer": offer.id,
                "dataset": str(dataset),
                "audience": audience.name.lower(),
                "scope": msgspec.to_builtins(resolved),
                "last_day": last_day.isoformat() if last_day is not None else None,
            }
            step.record(EntryKind.RULE_OFFERED, facts, "")
        return offer

    def withdraw(self, principal: Principal, offer_id: str, reason: str) -> None:
        """End a standing offer at once."""
        with self._steps.begin(principal, changes_policy=True) as step:
            offer = offers.read(step.connection, offer_id)
            step.check_owner(offer.dataset)
            checks.reason_given(reason)
            offers.end(step.connection, offer, now=step.now)
            facts: dict[str, Fact] = {"offer": offer.id, "dataset": str(offer.dataset)}
            step.record(EntryKind.RULE_OFFERED, facts | {"ended": True}, reason)

    def deny(
        self,
        principal: Principal,
        *,
        dataset: DatasetAddress | None = None,
        project: str | None = None,
        person: str | None = None,
        reason: str,
    ) -> str:
        """Close one dataset, project or person at once, and return the denial's identifier.

        A dataset can then be found but not read; a project or person can do nothing at all. Only
        an operator does this. Raises AccessDenied, InvalidSharing.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            step.check_operator()
            checks.reason_given(reason)
            denial = uuid4().hex
            subject, target, actions = _denied(dataset, project, person)
            for rule in standing.denial_rules(
                denial, subject=subject, dataset=target, actions=actions, begins=step.now
            ):
                rules.write(step.connection, rule)
            about = "dataset" if dataset else "project" if project else "person"
            facts: dict[str, Fact] = {"denial": denial, "closes": about, "dataset": target}
            facts |= {"project": project} if project else {}
            closed = {"closed_person": person} if person else {}
            step.record(EntryKind.RULE_DENIED, facts, reason, **closed)
        return denial

    def lift(self, principal: Principal, denial: str, reason: str) -> None:
        """End a denial. Raises AccessDenied, UnknownRecord."""
        with self._steps.begin(principal, changes_policy=True) as step:
            step.check_operator()
            checks.reason_given(reason)
            ended = denial.isalnum() and rules.end(
                step.connection, f"{GrantKind.DENIAL}:{denial}", now=step.now
            )
            if not ended:
                raise UnknownRecord(f"There is no denial {denial[:32]!r} in force.")
            step.record(EntryKind.RULE_DENIED, {"denial": denial, "ended": True}, reason)


def _denied(
    dataset: DatasetAddress | None, project: str | None, person: str | None
) -> tuple[str, str, tuple[str, ...]]:
    """For whom, on what and for which actions a denial is written."""
    match dataset, project, person:
        case DatasetAddress(), None, None:
            return principals.EVERYONE, str(dataset), tuple(sorted(rules.DATA_ACTIONS))
        case None, str(name), None if name.isprintable():
            return principals.project(name), rules.ANY, (rules.ANY,)
        case None, None, str(identifier) if identifier.isprintable():
            return principals.person(identifier), rules.ANY, (rules.ANY,)
        case _:
            raise RequestMalformed("A denial closes one dataset, one project or one person.")
