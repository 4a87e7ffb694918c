"""What is opened and closed in a marketplace in memory, and what it and the facts say to a request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, create_engine

from access_policies import revision, rules, stages
from access_policies.decision import Decision, LimitResult, OutputTier
from access_policies.decision_point import DecisionPoint
from access_policies.scope import AllRows, TableScope
from access_policies.stages import Reach
from access_policies.vocabulary import Action, Audience, Authority
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.dataset import Handling
from marketplace import enforcement
from marketplace.errors import Unauthenticated
from marketplace.identity import projects, tokens
from marketplace.identity.principal import Principal
from marketplace.migrations.tables import ALL_METADATA
from marketplace.sharing import agreements, offers, stops
from marketplace.sharing.agreements import AgreementState
from marketplace.sharing.stops import Party
from tests.oracle import facts, naive
from tests.oracle.country import DATASETS, START
from tests.oracle.facts import Terms, Token
from tests.oracle.naive import Answer
from tests.oracle.registers import Registers, one_of, told


@cache
def in_memory() -> Engine:
    """One database in memory for all worlds; of none does anything stay."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        for metadata in ALL_METADATA:
            metadata.create_all(connection)
    return engine


@contextmanager
def new_world(listed: dict[str, Audience]) -> Iterator["World"]:
    """A world of its own, whose datasets are listed up to these audiences."""
    worlds: list[World] = []
    clock = {revision.CLOCK: lambda: worlds[0].now if worlds else START}
    with in_memory().connect().execution_options(**clock) as connection:
        worlds.append(World(connection, listed))
        try:
            yield worlds[0]
        except AssertionError as difference:
            difference.add_note("\n".join(worlds[0].told))
            raise


class World(Registers):
    """A marketplace and the facts about it: every act is done to both, and both are asked."""

    def __init__(self, connection: Connection, listed: dict[str, Audience]) -> None:
        super().__init__(connection, listed)
        # One for the life of the world, so that what it keeps is asked for across writes.
        self.point = DecisionPoint()

    def do(self, act: Callable[["World"], None]) -> None:
        """Let an act happen in a revision of its own."""
        revision.advance(self.connection)
        act(self)

    @told
    def agree(
        self,
        project: str,
        dataset: str,
        named: tuple[str, ...],
        actions: tuple[Action, ...],
        terms: Terms,
        last: date,
    ) -> None:
        by_identifier = tuple(self.identifiers[name] for name in named)
        made, _ = agreements.make(
            self.connection,
            projects.get(self.connection, project),
            DatasetAddress.parse(dataset),
            "a request",
            agreements.Terms(
                scope=_scope(terms),
                actions=actions,
                output_tier=OutputTier(terms.tier),
                people=by_identifier,
                reason="It helps.",
                result_limit=LimitResult(rows=terms.most_rows) if terms.most_rows else None,
            ),
            last,
            by="an owner",
            now=self.now,
        )
        for before in self.facts.agreements:
            if (before.project, before.dataset) == (project, dataset):
                self._end(before)
        self.facts.agreements.append(
            facts.Agreement(
                id=made.id,
                project=project,
                dataset=dataset,
                people=by_identifier,
                actions=actions,
                terms=terms,
                begins=self.now,
                last=last,
            )
        )

    @told
    def extend(self, which: int, last: date) -> None:
        """Move a last day of an agreement in force on, as its owner may."""
        one = one_of([one for one in self.facts.agreements if not one.ended], which)
        if one is None or last <= one.last:
            return
        held = agreements.read(self.connection, one.id)
        if held.state(self.now) is AgreementState.EXPIRED:
            return
        project = projects.get(self.connection, one.project)
        agreements.revise(
            self.connection, held, project, last, held.terms, "It helps.", by="x", now=self.now
        )
        one.last, one.begins = last, self.now

    @told
    def revoke(self, which: int) -> None:
        one = one_of([one for one in self.facts.agreements if not one.ended], which)
        if one is not None:
            held = agreements.read(self.connection, one.id)
            agreements.end(
                self.connection, held, AgreementState.REVOKED, "It is over.", now=self.now
            )
            self._end(one)

    @told
    def offer(self, dataset: str, audience: Audience, terms: Terms, last: date | None) -> None:
        made = offers.make(
            self.connection,
            DatasetAddress.parse(dataset),
            audience,
            _scope(terms),
            last,
            by="an owner",
            now=self.now,
        )
        self.facts.offers.append(
            facts.Offer(
                id=made.id,
                dataset=dataset,
                audience=audience,
                terms=terms,
                begins=self.now,
                last=last,
            )
        )

    @told
    def withdraw(self, which: int) -> None:
        one = one_of([one for one in self.facts.offers if not one.ended], which)
        if one is not None:
            offers.end(self.connection, offers.read(self.connection, one.id), now=self.now)
            self._end(one)

    @told
    def stop(self, authority: Authority, dataset: str, party: dict[str, Any]) -> None:
        if "person" in party:
            party = {"person": self.identifiers[party["person"]]}
        made = stops.make(
            self.connection,
            authority,
            dataset,
            Party(**party),
            "A leak.",
            by="somebody",
            now=self.now,
        )
        self.facts.stops.append(
            facts.Stop(id=made.id, authority=authority, dataset=dataset, begins=self.now, **party)
        )

    @told
    def resume(self, which: int) -> None:
        one = one_of([one for one in self.facts.stops if not one.ended], which)
        if one is not None:
            held = stops.read(self.connection, one.id)
            stops.end(self.connection, held, "It is closed.", by="somebody", now=self.now)
            one.ended = True

    @told
    def move(
        self, scope: str, stage: Audience, waves: tuple[str, ...] | None, begins: datetime | None
    ) -> None:
        begins = begins.replace(microsecond=0) if begins is not None else None
        stages.write(
            self.connection,
            stages.Move(
                scope=scope,
                since_revision=revision.read(self.connection),
                reach=Reach(stage, waves),
                begins=stages.AT_ONCE if begins is None else rules.epoch(begins),
            ),
        )
        self.facts.moves.append(facts.Move(scope=scope, stage=stage, waves=waves, begins=begins))

    @told
    def invite(self, wave: str, name: str) -> None:
        if (wave, name) not in self.facts.invited:
            since = revision.read(self.connection)
            stages.invite(self.connection, wave, name, since_revision=since)
            self.facts.invited.add((wave, name))

    @told
    def mark(self, dataset: str, hmg_use_only: bool) -> None:
        handling = Handling.HMG_USE_ONLY if hmg_use_only else Handling.NONE
        datasets.set_handling(self.connection, DatasetAddress.parse(dataset), handling)
        marked = {dataset} if hmg_use_only else set()
        self.facts.hmg_use_only = self.facts.hmg_use_only - {dataset} | marked

    # What both say.

    def principal(self, token: Token, now: datetime) -> Principal | None:
        """Whom the marketplace takes the token's holder for."""
        try:
            return tokens.authenticate(self.connection, token.secret, now=now)
        except Unauthenticated:
            return None

    def decide(self, caller: Principal, action: Action, dataset: str, now: datetime) -> Decision:
        """The marketplace's answer, from what it keeps where that holds, as its exits ask."""
        held = revision.lock_shared(self.connection)
        return enforcement.decide(
            self.connection, self.point, caller, action, dataset, now=now, under=held
        )

    def permitted(self, caller: Principal, action: Action, now: datetime) -> tuple[str, ...]:
        """The marketplace's list of the datasets on which the action is allowed."""
        return enforcement.permitted(self.connection, self.point, caller, action, DATASETS, now=now)

    def expected(self, token: Token, action: Action, dataset: str, now: datetime) -> Answer:
        """The naive answer; one who is not authenticated is refused."""
        who = naive.caller(self.facts, token, now)
        if isinstance(who, str):
            return Answer(allowed=False, because=who)
        return naive.answer(self.facts, who, action, dataset, now)

    def _end(self, one: facts.Agreement | facts.Offer) -> None:
        """Somebody ended it; what had ended by its last day before stays as it was."""
        if one.last is None or self.today <= one.last:
            one.ended = True


def _scope(terms: Terms) -> tuple[TableScope, ...]:
    return tuple(
        TableScope(table=table, columns=columns, rows=AllRows()) for table, columns in terms.tables
    )
