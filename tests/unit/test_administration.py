"""The operator's acts: each is whole, and each is in the audit log."""

from datetime import date, timedelta

import pytest

from access_policies import stages
from access_policies.vocabulary import Audience, Role
from catalogue.places import Places
from marketplace.administration import Administration
from marketplace.audit.entries import EntryKind, RecordedEntry, latest
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import RecordExists, Unauthenticated, UnknownRecord
from marketplace.identity.organisations import Organisation
from marketplace.identity.projects import Project
from marketplace.identity.tokens import authenticate

BY = "operator:somebody"
SHEFFIELD = Organisation(
    name="sheffield", title="Sheffield City Council", audience=Audience.LOCAL_GOVERNMENT
)
COMPANY = Organisation(name="company", title="A company", audience=Audience.BUSINESS)
SQUAD = Project(
    name="squad",
    title="A squad",
    purpose="Lower the number of families in temporary accommodation.",
    organisation="sheffield",
    audience=Audience.LOCAL_GOVERNMENT,
)


@pytest.fixture
def administration(database: Database, clock: Clock) -> Administration:
    administration = Administration(database=database, places=Places.load(), clock=clock)
    administration.register_organisations([SHEFFIELD, COMPANY], by=BY)
    administration.register_person(
        name="A technologist", email="Tech@example.org", organisation="company", by=BY
    )
    administration.register_project(SQUAD, by=BY)
    return administration


def entries(database: Database, kind: EntryKind) -> tuple[RecordedEntry, ...]:
    with database.reading() as connection:
        return latest(connection, kinds=[kind])


def member(administration: Administration, clock: Clock) -> str:
    """Second the technologist to the squad for ten days and issue a token."""
    today = clock().date()
    administration.second(
        email="tech@example.org",
        host_project="squad",
        first_day=today,
        last_day=today + timedelta(days=10),
        by=BY,
    )
    administration.add_member(
        project="squad", email="tech@example.org", first_day=today, last_day=None, by=BY
    )
    secret, _ = administration.issue_token(
        email="tech@example.org",
        project="squad",
        expires_at=clock() + timedelta(days=90),
        by=BY,
    )
    return secret


def test_organisations_are_entered_all_or_none(administration: Administration, database: Database):
    leeds = Organisation(name="leeds", title="Leeds", audience=Audience.LOCAL_GOVERNMENT)
    with pytest.raises(RecordExists):
        administration.register_organisations([leeds, SHEFFIELD], by=BY)
    assert [one.name for one in administration.organisations()] == ["company", "sheffield"]
    assert len(entries(database, EntryKind.ORGANISATION_REGISTERED)) == 2


def test_an_entry_says_who_was_entered_and_by_whom(
    administration: Administration, database: Database
):
    (entry,) = entries(database, EntryKind.PERSON_REGISTERED)
    assert entry.facts == {"organisation": "company"}
    assert entry.person["by"] == BY
    assert entry.person["email"] == "tech@example.org"


def test_a_token_opens_what_it_was_issued_for(
    administration: Administration, database: Database, clock: Clock
):
    secret = member(administration, clock)
    with database.reading() as connection:
        principal = authenticate(connection, secret, now=clock())
    assert principal.project == "squad"
    assert principal.subject.audience is Audience.LOCAL_GOVERNMENT


def test_the_secret_of_a_token_is_in_no_entry(
    administration: Administration, database: Database, clock: Clock
):
    secret = member(administration, clock)
    for entry in entries(database, EntryKind.TOKEN_ISSUED):
        assert secret not in str(entry)


def test_a_revoked_token_opens_nothing(
    administration: Administration, database: Database, clock: Clock
):
    secret = member(administration, clock)
    (issued,) = administration.tokens()
    administration.revoke_token(issued.id, by=BY)
    with (
        database.reading() as connection,
        pytest.raises(Unauthenticated, match="was revoked"),
    ):
        authenticate(connection, secret, now=clock())
    assert len(entries(database, EntryKind.TOKEN_REVOKED)) == 1


def test_an_ended_membership_or_secondment_closes_the_token_and_is_recorded(
    administration: Administration, database: Database, clock: Clock
):
    secret = member(administration, clock)
    yesterday = clock().date() - timedelta(days=1)
    administration.end_membership(
        project="squad", email="tech@example.org", last_day=yesterday, by=BY
    )
    with database.reading() as connection, pytest.raises(Unauthenticated):
        authenticate(connection, secret, now=clock())
    assert entries(database, EntryKind.MEMBER_ENDED)[0].facts["last_day"] == yesterday.isoformat()


def test_a_secondment_can_be_ended_early(
    administration: Administration, database: Database, clock: Clock
):
    today = clock().date()
    secondment = administration.second(
        email="tech@example.org",
        host_organisation="sheffield",
        first_day=today,
        last_day=date(2027, 1, 31),
        by=BY,
    )
    administration.end_secondment(secondment.id, last_day=today, by=BY)
    assert entries(database, EntryKind.SECONDMENT_ENDED)[0].facts["secondment"] == secondment.id


def test_nobody_can_be_made_a_member_who_was_not_entered(administration: Administration):
    with pytest.raises(UnknownRecord, match="no person"):
        administration.add_member(
            project="squad",
            email="nobody@example.org",
            first_day=date(2026, 1, 1),
            last_day=None,
            by=BY,
        )


def test_a_role_is_given_with_a_token(administration: Administration, clock: Clock):
    administration.issue_token(
        email="tech@example.org",
        role=Role.PUBLISHER,
        organisation="sheffield",
        expires_at=clock() + timedelta(days=1),
        by=BY,
    )
    (issued,) = administration.tokens()
    assert (issued.role, issued.organisation) == (Role.PUBLISHER, "sheffield")


def test_the_first_stage_is_set_once_and_the_rollout_moves_it_on(
    administration: Administration, database: Database, clock: Clock
):
    def stage() -> Audience:
        with database.reading() as connection:
            return stages.openings(connection, {"*"}, now=clock())["*"].stage

    assert stage() is Audience.GOVERNMENT
    administration.open_first_stage(Audience.LOCAL_GOVERNMENT, by=BY)
    assert stage() is Audience.LOCAL_GOVERNMENT
    (entry,) = entries(database, EntryKind.STAGE_MOVED)
    assert entry.facts == {"scope": "*", "opened": "local_government"}
    with pytest.raises(RecordExists):
        administration.open_first_stage(Audience.PUBLIC, by=BY)
    assert stage() is Audience.LOCAL_GOVERNMENT
