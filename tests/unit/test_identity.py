"""Who a token stands for, and when it stops standing for them. On both databases."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, select

from access_policies import revision
from access_policies.vocabulary import Audience, Role
from catalogue.errors import InvalidAddress
from marketplace.clock import end_of_last_day
from marketplace.errors import (
    RecordExists,
    RequestMalformed,
    Unauthenticated,
    UnknownRecord,
    WrongProject,
)
from marketplace.identity import (
    appointments,
    capacity,
    organisations,
    people,
    projects,
    records,
    secondments,
    tokens,
)
from marketplace.identity.organisations import Organisation
from marketplace.identity.people import Person
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=365)


class World:
    """A council with a squad, a company, a department, and a person at each."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        for name, audience in (
            ("sheffield", Audience.LOCAL_GOVERNMENT),
            ("leeds", Audience.LOCAL_GOVERNMENT),
            ("acme", Audience.BUSINESS),
            ("mhclg", Audience.GOVERNMENT),
        ):
            organisation = Organisation(name=name, title=name.title(), audience=audience)
            organisations.register(connection, organisation)
        projects.register(
            connection,
            Project(
                name="squad",
                title="Family hubs",
                purpose="Bring more families into family hubs.",
                organisation="sheffield",
                audience=Audience.LOCAL_GOVERNMENT,
            ),
        )
        self.officer = self.person("officer", "sheffield")
        self.neighbour = self.person("neighbour", "leeds")
        self.technologist = self.person("technologist", "acme")
        self.official = self.person("official", "mhclg")

    def person(self, name: str, organisation: str) -> Person:
        return people.register(
            self.connection, name=name, email=f"{name}@example.org", organisation=organisation
        )

    def join(self, person: Person, last_day: date | None = None) -> None:
        projects.add_member(
            self.connection,
            project="squad",
            person=person.id,
            first_day=date(2026, 11, 1),
            last_day=last_day,
        )

    def second(self, person: Person, **host: Any) -> None:
        given = {"host_project": "squad", "first_day": date(2026, 11, 1)} | host
        secondments.register(self.connection, person=person.id, **given)

    def token(self, person: Person, **purpose: Any) -> str:
        given = {"expires_at": EXPIRES} | (purpose or {"project": "squad"})
        secret, _ = tokens.issue_token(self.connection, person=person.id, now=NOW, **given)
        return secret

    def sign_in(self, secret: str, now: datetime = NOW) -> Principal:
        return tokens.authenticate(self.connection, secret, now=now)


@pytest.fixture
def world(passing_connection: Connection) -> World:
    return World(passing_connection)


def test_a_member_acts_for_the_project_with_its_purpose(world: World):
    world.join(world.officer)
    principal = world.sign_in(world.token(world.officer))
    assert (principal.person_name, principal.project) == ("officer", "squad")
    assert principal.project_purpose == "Bring more families into family hubs."
    assert principal.subject.audience is Audience.LOCAL_GOVERNMENT
    assert principal.subject.principals == {
        f"person:{world.officer.id}",
        "project:squad",
        f"member:squad/{world.officer.id}",
        "organisation:sheffield",
        "employer:sheffield",
        "only:local_government",
        "audience:local_government",
        "audience:researcher",
        "audience:business",
        "audience:public",
    }
    assert principal.valid_until == EXPIRES


def test_a_more_trusted_person_is_as_restricted_as_the_project(world: World):
    world.join(world.official)
    principal = world.sign_in(world.token(world.official))
    assert principal.subject.audience is Audience.LOCAL_GOVERNMENT
    assert "audience:government" not in principal.subject.principals


def test_a_member_from_a_company_without_a_secondment_acts_as_a_business(world: World):
    world.join(world.technologist)
    assert world.sign_in(world.token(world.technologist)).subject.audience is Audience.BUSINESS


@pytest.mark.parametrize("host", ["squad", "sheffield"])
def test_a_technologist_has_the_hosts_audience_while_seconded_and_nothing_afterwards(
    world: World, host: str
):
    world.join(world.technologist)
    to = (
        {"host_project": host}
        if host == "squad"
        else {"host_project": None, "host_organisation": host}
    )
    world.second(world.technologist, last_day=date(2027, 3, 31), **to)
    secret = world.token(world.technologist)
    principal = world.sign_in(secret)
    assert principal.subject.audience is Audience.LOCAL_GOVERNMENT
    ends = datetime(2027, 3, 31, 23, 0, tzinfo=UTC)  # midnight in London, in summer time
    assert principal.valid_until == ends
    assert world.sign_in(secret, ends - timedelta(seconds=1)).valid_until == ends
    with pytest.raises(Unauthenticated, match="secondment to squad ended at the end of 31 March"):
        world.sign_in(secret, ends)


def test_a_secondment_elsewhere_does_not_help(world: World):
    world.join(world.technologist)
    world.second(
        world.technologist, host_project=None, host_organisation="leeds", last_day=date(2027, 1, 1)
    )
    assert world.sign_in(world.token(world.technologist)).subject.audience is Audience.BUSINESS


def test_a_seconded_officer_of_another_council_drops_off_with_the_secondment(world: World):
    # Home and host have the same audience, so the audience alone would let them go on.
    world.join(world.neighbour)
    world.second(world.neighbour, last_day=date(2026, 12, 1))
    secret = world.token(world.neighbour)
    assert world.sign_in(secret).valid_until == end_of_last_day(date(2026, 12, 1))
    with pytest.raises(Unauthenticated, match="secondment"):
        world.sign_in(secret, datetime(2026, 12, 2, 0, 0, tzinfo=UTC))


def test_a_secondment_that_is_to_come_opens_nothing_yet(world: World):
    world.join(world.technologist)
    world.second(world.technologist, first_day=date(2026, 12, 1), last_day=date(2027, 1, 1))
    with pytest.raises(Unauthenticated, match="begins on 1 December 2026"):
        world.sign_in(world.token(world.technologist))


def test_a_secondment_before_the_membership_does_not_carry_it(world: World):
    world.second(world.technologist, first_day=date(2025, 1, 1), last_day=date(2025, 6, 30))
    world.join(world.technologist)
    assert world.sign_in(world.token(world.technologist)).subject.audience is Audience.BUSINESS


def test_the_earliest_end_of_token_membership_and_secondment_counts(world: World):
    world.join(world.technologist, last_day=date(2026, 12, 31))
    world.second(world.technologist, last_day=date(2027, 3, 31))
    member_ends = datetime(2027, 1, 1, tzinfo=UTC)
    assert world.sign_in(world.token(world.technologist)).valid_until == member_ends
    soon = NOW + timedelta(hours=1)
    short = world.token(world.technologist, project="squad", expires_at=soon)
    assert world.sign_in(short).valid_until == soon


def test_a_token_opens_nothing_once_the_membership_has_ended(world: World):
    world.join(world.officer, last_day=date(2026, 11, 30))
    secret = world.token(world.officer)
    world.sign_in(secret, datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    with pytest.raises(
        Unauthenticated, match="membership of squad ended at the end of 30 November"
    ):
        world.sign_in(secret, datetime(2026, 12, 1, tzinfo=UTC))


def test_a_membership_that_is_ended_today_opens_nothing_at_once(world: World):
    world.join(world.officer)
    principal = world.sign_in(world.token(world.officer))
    before = revision.read(world.connection)
    projects.end_membership(
        world.connection, project="squad", person=world.officer.id, last_day=date(2026, 11, 21)
    )
    assert revision.read(world.connection) > before
    with pytest.raises(Unauthenticated, match="membership"):
        tokens.renew(world.connection, principal, now=NOW)


def test_ending_a_secondment_shortens_and_never_extends(world: World):
    world.join(world.technologist)
    world.second(world.technologist, last_day=date(2026, 12, 1))
    (held,) = secondments.of_person(world.connection, world.technologist.id)
    secondments.end(world.connection, held.id, last_day=date(2027, 12, 1))
    assert secondments.of_person(world.connection, world.technologist.id) == (held,)
    secondments.end(world.connection, held.id, last_day=date(2026, 11, 21))
    with pytest.raises(Unauthenticated):
        world.sign_in(world.token(world.technologist))


@pytest.mark.parametrize("last_day", [date(2026, 11, 21), date(2026, 11, 25)])
def test_a_secondment_that_is_cut_short_before_the_membership_begins_leaves_it_closed(
    world: World, last_day: date
):
    # A neighbour's own audience would reach all that is agreed with the squad.
    world.second(world.neighbour, first_day=date(2026, 11, 22), last_day=date(2026, 12, 31))
    projects.add_member(
        world.connection,
        project="squad",
        person=world.neighbour.id,
        first_day=date(2026, 12, 1),
    )
    secret = world.token(world.neighbour, project="squad")
    december = datetime(2026, 12, 2, tzinfo=UTC)
    world.sign_in(secret, december)
    (held,) = secondments.of_person(world.connection, world.neighbour.id)
    secondments.end(world.connection, held.id, last_day=last_day)
    with pytest.raises(Unauthenticated, match="secondment to squad ended"):
        world.sign_in(secret, december)


def test_a_membership_that_is_ended_before_its_secondment_begins_opens_nothing(world: World):
    world.join(world.neighbour)
    world.second(world.neighbour, first_day=date(2026, 12, 1), last_day=date(2027, 3, 31))
    secret = world.token(world.neighbour)
    projects.end_membership(
        world.connection, project="squad", person=world.neighbour.id, last_day=date(2026, 11, 25)
    )
    with pytest.raises(Unauthenticated, match="secondment to squad begins"):
        world.sign_in(secret)


def test_a_secondment_after_the_membership_is_no_matter_of_it(world: World):
    world.join(world.neighbour, last_day=date(2026, 11, 30))
    world.second(world.neighbour, first_day=date(2026, 12, 1), last_day=date(2027, 3, 31))
    held = world.sign_in(world.token(world.neighbour))
    assert held.subject.audience is Audience.LOCAL_GOVERNMENT


def test_an_accreditation_ends_with_the_very_midnight_after_its_last_day(world: World):
    study = Project(
        name="study",
        title="A study",
        purpose="To know.",
        organisation="mhclg",
        audience=Audience.RESEARCHER,
        accredited_until=date(2026, 11, 30),
    )
    ends = end_of_last_day(date(2026, 11, 30))
    before = ends - timedelta(microseconds=1)
    found = [
        capacity.accredited_audience(Audience.RESEARCHER, study, now=now) for now in (before, ends)
    ]
    assert found == [Audience.RESEARCHER, Audience.PUBLIC]


def test_of_two_secondments_the_more_trusted_counts_however_long_the_other_lasts(world: World):
    task_force = Project(
        name="task_force",
        title="Task force",
        purpose="Hubs.",
        organisation="sheffield",
        audience=Audience.GOVERNMENT,
    )
    projects.register(world.connection, task_force)
    projects.add_member(
        world.connection,
        project="task_force",
        person=world.technologist.id,
        first_day=date(2026, 1, 1),
    )
    secret = world.token(world.technologist, project="task_force")
    longer = {"host_project": None, "host_organisation": "sheffield"}
    world.second(world.technologist, **longer, last_day=date(2027, 3, 31))
    world.second(world.technologist, host_project="task_force", last_day=date(2026, 12, 31))
    both = world.sign_in(secret)
    assert both.subject.audience is Audience.GOVERNMENT
    assert both.valid_until == end_of_last_day(date(2026, 12, 31))
    assert world.sign_in(secret, both.valid_until).subject.audience is Audience.LOCAL_GOVERNMENT


def test_a_deputy_falls_with_the_secondment_that_the_owner_owns_by(world: World):
    world.second(
        world.official, host_project=None, host_organisation="sheffield", last_day=date(2026, 12, 1)
    )
    post = {"organisation": "sheffield", "first_day": date(2026, 11, 1)}
    appointments.appoint(world.connection, person=world.official.id, role=Role.OWNER, **post)
    appointments.appoint(
        world.connection,
        person=world.officer.id,
        role=Role.DEPUTY,
        in_place_of=world.official.id,
        last_day=date(2027, 3, 31),
        **post,
    )
    secret = world.token(world.officer, role=Role.DEPUTY, organisation="sheffield")
    deputy = world.sign_in(secret)
    assert deputy.valid_until == deputy.changes_at == end_of_last_day(date(2026, 12, 1))
    with pytest.raises(Unauthenticated, match="in whose place you decide"):
        world.sign_in(secret, deputy.valid_until)


def test_an_expired_and_a_revoked_token_are_told_to_their_holder(world: World):
    world.join(world.officer)
    secret = world.token(world.officer)
    with pytest.raises(Unauthenticated, match="has expired"):
        world.sign_in(secret, EXPIRES)
    before = revision.read(world.connection)
    tokens.revoke_token(world.connection, world.sign_in(secret).token_id, now=NOW)
    assert revision.read(world.connection) == before + 1
    with pytest.raises(Unauthenticated, match="was revoked"):
        world.sign_in(secret)


@pytest.mark.parametrize(
    "secret", ["", "dmk_", "dmk_" + "A" * 43, "Bearer x", "\ud800", "é" * 9999]
)
def test_any_secret_that_is_not_known_gets_the_same_sentence(world: World, secret: str):
    with pytest.raises(Unauthenticated) as refused:
        world.sign_in(secret)
    assert refused.value.detail == "This is not a token that the marketplace knows."


def test_a_secret_has_256_bits_and_is_kept_nowhere(world: World):
    world.join(world.officer)
    first, second = world.token(world.officer), world.token(world.officer)
    assert first != second
    assert first.startswith("dmk_")
    assert len(first) == len("dmk_") + 43
    kept = str(world.connection.execute(select(records.tokens)).all())
    assert first not in kept
    assert first.removeprefix("dmk_") not in kept


def test_a_role_acts_for_its_organisation_and_has_no_project(world: World):
    secret = world.token(world.official, role=Role.OWNER, organisation="mhclg")
    principal = world.sign_in(secret)
    assert (principal.role, principal.organisation, principal.project) == (
        Role.OWNER,
        "mhclg",
        None,
    )
    assert "role:owner@mhclg" in principal.subject.principals
    assert principal.subject.audience is Audience.GOVERNMENT


def test_a_role_at_a_host_ends_with_the_secondment(world: World):
    world.second(
        world.official, host_project=None, host_organisation="leeds", last_day=date(2026, 12, 1)
    )
    secret = world.token(world.official, role=Role.PUBLISHER, organisation="leeds")
    principal = world.sign_in(secret)
    assert principal.subject.audience is Audience.LOCAL_GOVERNMENT
    assert principal.valid_until == end_of_last_day(date(2026, 12, 1))
    with pytest.raises(Unauthenticated, match="do not act for leeds"):
        world.sign_in(secret, principal.valid_until)


def test_the_first_token_of_a_role_moves_the_revision_and_the_second_does_not(world: World):
    before = revision.read(world.connection)
    world.token(world.official, role=Role.OWNER, organisation="mhclg")
    after = revision.read(world.connection)
    assert after > before
    world.token(world.official, role=Role.OWNER, organisation="mhclg")
    assert revision.read(world.connection) == after


@pytest.mark.parametrize(
    "purpose",
    [
        {},
        {"project": "squad", "role": Role.OWNER, "organisation": "sheffield"},
        {"role": Role.OWNER},
        {"role": Role.OPERATOR, "organisation": "mhclg"},
        {"project": "squad", "organisation": "sheffield"},
    ],
)
def test_a_token_is_for_exactly_one_thing(world: World, purpose: dict[str, Any]):
    world.join(world.officer)
    with pytest.raises(RequestMalformed):
        tokens.issue_token(
            world.connection, person=world.officer.id, expires_at=EXPIRES, now=NOW, **purpose
        )


def test_a_token_has_an_end_that_is_to_come(world: World):
    world.join(world.officer)
    with pytest.raises(RequestMalformed, match="ends after it begins"):
        world.token(world.officer, project="squad", expires_at=NOW)


def test_nobody_gets_a_token_for_a_project_they_are_not_in(world: World):
    with pytest.raises(UnknownRecord):
        world.token(world.officer)


def test_a_call_that_names_another_project_is_refused(world: World):
    world.join(world.officer)
    principal = world.sign_in(world.token(world.officer))
    tokens.check_project(principal, None)
    tokens.check_project(principal, "squad")
    with pytest.raises(WrongProject):
        tokens.check_project(principal, "another")


def test_use_is_noted_to_the_minute(world: World):
    world.join(world.officer)
    token = world.sign_in(world.token(world.officer)).token_id

    def last_used() -> datetime | None:
        (held,) = tokens.list_tokens(world.connection, person=world.officer.id)
        return held.last_used_at

    assert last_used() is None
    tokens.note_use(world.connection, token, now=NOW)
    tokens.note_use(world.connection, token, now=NOW + timedelta(seconds=30))
    assert last_used() == NOW
    tokens.note_use(world.connection, token, now=NOW + timedelta(seconds=61))
    assert last_used() == NOW + timedelta(seconds=61)


def test_a_name_that_is_taken_or_no_identifier_is_refused(world: World):
    council = Organisation(name="sheffield", title="Again", audience=Audience.LOCAL_GOVERNMENT)
    with pytest.raises(RecordExists):
        organisations.register(world.connection, council)
    with pytest.raises(InvalidAddress):
        organisations.register(
            world.connection,
            Organisation(name="Sheffield City", title="x", audience=Audience.PUBLIC),
        )
    with pytest.raises(RecordExists):
        world.person("OFFICER", "sheffield")


@pytest.mark.parametrize("unfit", ["\0", "\x1b[2J", "two\nlines", "\ud800"])
def test_names_and_titles_are_plain_lines(world: World, unfit: str):
    project = Project(
        name="hubs",
        title="Hubs",
        purpose="Hubs.",
        organisation="sheffield",
        audience=Audience.LOCAL_GOVERNMENT,
    )
    organisation = Organisation(name="york", title="York", audience=Audience.LOCAL_GOVERNMENT)
    ada = {"name": "Ada", "email": "ada@example.org", "organisation": "sheffield"}
    replaced = msgspec.structs.replace
    given = f"a{unfit}b"
    for enter in (
        lambda: projects.register(world.connection, replaced(project, title=given)),
        lambda: projects.register(world.connection, replaced(project, purpose=given)),
        lambda: organisations.register(world.connection, replaced(organisation, title=given)),
        lambda: organisations.register(world.connection, replaced(organisation, place=given)),
        lambda: people.register(world.connection, **(ada | {"name": given})),
        lambda: people.register(world.connection, **(ada | {"email": f"{given}@example.org"})),
    ):
        with pytest.raises(RequestMalformed, match="control character"):
            enter()


def test_what_is_entered_comes_back(world: World):
    assert organisations.get(world.connection, "acme").audience is Audience.BUSINESS
    assert people.find_by_email(world.connection, " Officer@Example.ORG ") == world.officer
    assert projects.get(world.connection, "squad").audience is Audience.LOCAL_GOVERNMENT
    with pytest.raises(UnknownRecord):
        people.get(world.connection, "nobody")
