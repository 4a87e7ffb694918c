"""The exact memo: with it or without it, an answer is the same, at every moment and revision."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from access_policies import principals, revision, rules, stages
from access_policies.decision import Decision, RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.memo import Memo
from access_policies.rules import Effect, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Role
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.dataset import Dataset, Handling
from catalogue.errors import Problem
from marketplace.database import Database
from marketplace.identity import (
    appointments,
    organisations,
    people,
    projects,
    secondments,
    tokens,
)
from marketplace.identity.capacity import Capacity
from marketplace.identity.organisations import Organisation
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.query.answers import Answers, Moment
from tests.examples import examples

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
HOMES = DatasetAddress("mhclg", "homes")


def test_a_value_is_given_out_under_its_revision_only() -> None:
    memo: Memo[str, int] = Memo(10)
    memo.keep("a", 1, revision=5, since=NOON, until=None)
    assert memo.find("a", revision=5, now=NOON) == 1
    assert memo.find("a", revision=6, now=NOON) is None
    assert memo.find("a", revision=4, now=NOON) is None
    memo.keep("b", 2, revision=6, since=NOON, until=None)
    assert memo.find("a", revision=6, now=NOON) is None
    assert memo.find("a", revision=5, now=NOON) is None


def test_a_value_is_given_out_from_its_beginning_to_the_instant_before_its_end() -> None:
    memo: Memo[str, int] = Memo(10)
    memo.keep("a", 1, revision=1, since=NOON, until=NOON + timedelta(hours=1))
    last = NOON + timedelta(hours=1) - INSTANT
    assert [memo.find("a", revision=1, now=now) for now in (NOON, last)] == [1, 1]
    assert memo.find("a", revision=1, now=last + INSTANT) is None
    assert memo.find("a", revision=1, now=NOON - INSTANT) is None


def test_no_more_is_kept_than_the_limit_and_the_oldest_goes_first() -> None:
    memo: Memo[int, int] = Memo(3)
    for key in range(5):
        memo.keep(key, key, revision=1, since=NOON, until=None)
    assert [memo.find(key, revision=1, now=NOON) for key in range(5)] == [None, None, 2, 3, 4]


_NOBODY = Capacity(audience=Audience.PUBLIC, organisation="sheffield", home="acme")


class House:
    """A council with a squad, two people who may act in it, and everything that can change that."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now = NOON
        self.kept = Answers(DecisionPoint())
        self._written = 0
        for name, audience in (
            ("mhclg", Audience.GOVERNMENT),
            ("sheffield", Audience.LOCAL_GOVERNMENT),
            ("acme", Audience.BUSINESS),
        ):
            organisations.register(
                connection, Organisation(name=name, title=name, audience=audience)
            )
        projects.register(
            connection,
            Project(
                name="squad",
                title="Squad",
                purpose="To see",
                organisation="sheffield",
                audience=Audience.LOCAL_GOVERNMENT,
            ),
        )
        projects.register(
            connection,
            Project(
                name="study",
                title="Study",
                purpose="To know",
                organisation="sheffield",
                audience=Audience.RESEARCHER,
            ),
        )
        datasets.register(connection, Dataset(address=HOMES, title="Homes", created_at=NOON))
        self.people = [
            people.register(connection, name=name, email=f"{name}@a.example", organisation=home).id
            for name, home in (("officer", "sheffield"), ("technologist", "acme"))
        ]
        for person in self.people:
            projects.add_member(
                connection, project="squad", person=person, first_day=date(2026, 11, 1)
            )
        projects.add_member(
            connection, project="study", person=self.people[0], first_day=date(2026, 11, 1)
        )
        self.callers = [self._token(person, project="squad") for person in self.people]
        self.callers.append(self._token(self.people[0], project="study"))
        self.callers.append(
            self._token(self.people[1], role=Role.PUBLISHER, organisation="sheffield")
        )

    def _token(self, person: str, **purpose: Any) -> Principal:
        secret, record = tokens.issue_token(
            self.connection,
            person=person,
            expires_at=NOON + timedelta(days=12, hours=3),
            now=NOON,
            **purpose,
        )
        try:
            return tokens.authenticate(self.connection, secret, now=NOON)
        except Problem:
            # Not theirs yet: a secondment may come. Only the token's name is looked at.
            return Principal(
                person_id=person,
                person_name="",
                token_id=record.id,
                subject=tokens.subject_of(person, set(), _NOBODY),
                valid_until=NOON,
                changes_at=NOON,
            )

    def join(self, who: int, first: int, length: int | None) -> None:
        projects.add_member(
            self.connection,
            project="squad",
            person=self.people[who],
            first_day=day(first),
            last_day=None if length is None else day(first + length),
        )

    def leave(self, who: int, last: int) -> None:
        projects.end_membership(
            self.connection, project="squad", person=self.people[who], last_day=day(last)
        )

    def second(self, who: int, to_project: bool, first: int, length: int) -> None:
        host = {"host_project": "squad"} if to_project else {"host_organisation": "sheffield"}
        secondments.register(
            self.connection,
            person=self.people[who],
            first_day=day(first),
            last_day=day(first + length),
            **host,
        )

    def recall(self, who: int, last: int) -> None:
        for held in secondments.of_person(self.connection, self.people[who]):
            secondments.end(self.connection, held.id, last_day=day(last))

    def accredit(self, last: int | None) -> None:
        projects.accredit(self.connection, "study", until=None if last is None else day(last))

    def appoint(self, who: int, role: Role, first: int, length: int | None) -> None:
        """Name somebody to a role at the council; a deputy is for the other of the two."""
        with suppress(Problem):  # they hold it on these days already, or the other is no owner
            appointments.appoint(
                self.connection,
                person=self.people[who],
                role=role,
                organisation="sheffield",
                in_place_of=self.people[1 - who] if role is Role.DEPUTY else None,
                first_day=day(first),
                last_day=None if length is None else day(first + length),
            )
            if len(self.callers) < 6:
                self.callers.append(
                    self._token(self.people[who], role=role, organisation="sheffield")
                )

    def dismiss(self, number: int, last: int) -> None:
        held = appointments.list_all(self.connection)
        appointments.end(self.connection, held[number % len(held)].id, last_day=day(last))

    def mark(self, handling: Handling) -> None:
        revision.advance(self.connection)
        datasets.set_handling(self.connection, HOMES, handling)

    def revoke(self, who: int) -> None:
        tokens.revoke_token(self.connection, self.callers[who].token_id, now=self.now)

    def open_stage(self, everywhere: bool, audience: Audience, after: int = 0) -> None:
        move = stages.Move(
            scope="*" if everywhere else str(HOMES),
            since_revision=revision.advance(self.connection),
            reach=stages.Reach(audience),
            begins=rules.epoch(self.now) + after,
        )
        stages.write(self.connection, move)

    def grant(self, subject: int, begins: int, lasts: int, denies: bool) -> None:
        revision.advance(self.connection)
        self._written += 1
        names = (
            principals.project("squad"),
            principals.person(self.people[1]),
            principals.audience(Audience.LOCAL_GOVERNMENT),
            principals.audience(Audience.RESEARCHER),
        )
        scope = RestrictTo(tables=(TableScope(table="homes", columns=("*",), rows=AllRows()),))
        start = rules.epoch(NOON) + begins
        rules.write(
            self.connection,
            Rule(
                id=f"rule-{self._written}",
                subject=names[subject],
                dataset=str(HOMES),
                action=Action.QUERY,
                nbf=start,
                exp=start + lasts,
                effect=Effect.DENY if denies else Effect.ALLOW,
                grant=f"{'denial' if denies else 'offer'}:{self._written}",
                obligations=() if denies else (scope,),
            ),
        )

    def withdraw(self, number: int) -> None:
        revision.advance(self.connection)
        for kind in ("offer", "denial"):
            rules.end(self.connection, f"{kind}:{number}", now=self.now)

    def move_clock(self, seconds: int, instants: int) -> None:
        """To a whole second, at which rules begin and end, and an instant to either side of it."""
        self.now = NOON + timedelta(seconds=seconds) + instants * INSTANT

    def check(self) -> None:
        """Everybody's answer with what was kept is that of one who knows nothing."""
        at = Moment(self.connection, revision.read(self.connection), self.now)
        for caller in self.callers:
            fresh = _answer(Answers(DecisionPoint()), at, caller)
            assert _answer(self.kept, at, caller) == fresh
            assert _answer(self.kept, at, caller) == fresh


def _answer(answers: Answers, at: Moment, caller: Principal) -> tuple[object, Decision | None]:
    try:
        principal = answers.principal(at, caller)
    except Problem as refusal:
        return (type(refusal), refusal.detail), None
    # `changes_at` and `until` depend on when it was asked, what they bound does not.
    decision = answers.decision(at, principal, Action.QUERY, HOMES)
    return (principal.subject, principal.valid_until), decision


def day(number: int) -> date:
    return date(2026, 11, 22) + timedelta(days=number)


whose = st.integers(0, 1)
days = st.integers(-3, 12)
# Near the rules' seconds, and near the midnights (12 hours after noon) of the days.
seconds = st.one_of(
    st.integers(-5, 40),
    st.builds(lambda number: 43200 + 86400 * number, st.integers(-2, 12)),
    st.just(86400 * 12 + 3 * 3600),
)
steps = st.one_of(
    st.tuples(st.just("join"), whose, days, st.none() | st.integers(0, 5)),
    st.tuples(st.just("leave"), whose, days),
    st.tuples(st.just("second"), whose, st.booleans(), days, st.integers(0, 5)),
    st.tuples(st.just("recall"), whose, days),
    st.tuples(st.just("accredit"), st.none() | days),
    st.tuples(
        st.just("appoint"),
        whose,
        st.sampled_from((Role.PUBLISHER, Role.OWNER, Role.DEPUTY)),
        days,
        st.none() | st.integers(0, 5),
    ),
    st.tuples(st.just("dismiss"), st.integers(0, 9), days),
    st.tuples(st.just("mark"), st.sampled_from(Handling)),
    st.tuples(st.just("revoke"), st.integers(0, 3)),
    st.tuples(st.just("open_stage"), st.booleans(), st.sampled_from(Audience), st.integers(-5, 30)),
    st.tuples(
        st.just("grant"), st.integers(0, 3), st.integers(-3, 30), st.integers(1, 30), st.booleans()
    ),
    st.tuples(st.just("withdraw"), st.integers(1, 5)),
    st.tuples(st.just("move_clock"), seconds, st.integers(-1, 1)),
    st.tuples(st.just("move_clock"), seconds, st.integers(-1, 1)),
)


class _Undone(Exception):
    """Ends a transaction without a commit."""


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, min_size=1, max_size=25))
# A longer secondment begins while another lasts: nothing ends, and yet the answer is another.
@example(
    [("second", 1, True, 0, 1), ("second", 1, True, 1, 5), ("move_clock", 43200, 0)],
)
def test_what_was_kept_is_what_would_be_found(kept_database: Database, taken: list) -> None:
    with suppress(_Undone), kept_database.writing() as connection:
        house = House(connection)
        house.open_stage(True, Audience.LOCAL_GOVERNMENT)
        house.grant(0, -10, 1000000, False)
        house.check()
        for name, *given_ in taken:
            getattr(house, name)(*given_)
            house.check()
        raise _Undone
