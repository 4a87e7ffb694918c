"""Journey 2 on both databases: asking, deciding, and the decision as the enforcement."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from access_policies import principals, revision, rules, stages, standing
from access_policies.decision import Decision, LimitOutput, OutputTier, RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.scope import AllRows, RowsInPlaces, RowsWithValues, TableScope
from access_policies.vocabulary import Action, Audience, Environment, Resource, Role
from catalogue import datasets, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import Dataset
from catalogue.errors import UnknownDataset
from catalogue.manifest import under_contract, with_table
from catalogue.places import Places
from catalogue.table_schema import Column, Sensitivity, TableSchema
from connectors.local_store import LocalStore
from marketplace import enforcement
from marketplace.audit.entries import EntryKind, latest
from marketplace.database import Database
from marketplace.errors import (
    AccessDenied,
    AuditUnavailable,
    InvalidSharing,
    Unauthenticated,
    UnknownRecord,
)
from marketplace.identity import organisations, people, projects, secondments, tokens
from marketplace.identity.organisations import Organisation
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.sharing import Sharing, StandingRules, records
from marketplace.sharing.agreements import Agreement, AgreementState
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.requests import RequestState, ShareRequest
from marketplace.sharing.stops import Party
from marketplace.sharing.vocabulary import DataType, Power

HOUSING = DatasetAddress("mhclg", "housing")
SCHEMA = TableSchema(
    columns=(
        Column(name="area", type="VARCHAR", place=True),
        Column(name="households", type="BIGINT"),
        Column(name="landlord", type="VARCHAR", sensitivity=Sensitivity.PERSONAL),
    )
)
OPEN = TableScope(table="housing", columns=("area", "households"), rows=AllRows())
SHEFFIELD = TableScope(
    table="housing",
    columns=("area", "households"),
    rows=RowsInPlaces(places=("Sheffield",)),
)
LAST_DAY = date(2027, 6, 30)


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load()


def open_up_to(connection: Connection, audience: Audience, scope: str = "*") -> None:
    """Move a stage at once, as two operators would."""
    revision.advance(connection)
    stages.open_at_once(connection, scope, audience)


class World:
    """A department with a dataset and its owner, a council with a squad, and a stranger."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], folder: Path, places: Places
    ) -> None:
        self.database = database
        self.clock = clock
        self.store = LocalStore(folder / "objects")
        self.folder = folder
        self.point = DecisionPoint()
        self.sharing = Sharing(
            database=database, decision_point=self.point, places=places, clock=clock
        )
        self.standing = StandingRules(
            database=database, decision_point=self.point, places=places, clock=clock
        )
        self._enter()
        self.release(SCHEMA)

    def _enter(self) -> None:
        government, local, business = (
            Audience.GOVERNMENT,
            Audience.LOCAL_GOVERNMENT,
            Audience.BUSINESS,
        )
        with self.database.writing() as connection:
            self.connection = connection
            for name, audience in (("mhclg", government), ("sheffield", local), ("acme", business)):
                organisations.register(
                    connection, Organisation(name=name, title=name, audience=audience)
                )
            for name in ("squad", "others"):
                project = Project(
                    name=name,
                    title=name,
                    purpose=f"The purpose of the {name}.",
                    organisation="sheffield",
                    audience=local,
                )
                projects.register(connection, project)
            self.owner = self._role("owner", "mhclg", Role.OWNER)
            self.operator = self._role("operator", "mhclg", Role.OPERATOR)
            self.other_owner = self._role("other", "sheffield", Role.OWNER)
            self.member = self._member("member", "sheffield", "squad")
            self.stranger = self._member("stranger", "sheffield", "others")
            open_up_to(connection, local)
            for rule in standing.listing_rules(str(HOUSING), local):
                rules.write(connection, rule)

    def _person(self, name: str, home: str) -> str:
        email = f"{name}@example.org"
        return people.register(self.connection, name=name, email=email, organisation=home).id

    def _token(self, person: str, **purpose: Any) -> Principal:
        secret, _ = tokens.issue_token(
            self.connection,
            person=person,
            expires_at=self.clock() + timedelta(days=700),
            now=self.clock(),
            **purpose,
        )
        return tokens.authenticate(self.connection, secret, now=self.clock())

    def _role(self, name: str, home: str, role: Role) -> Principal:
        organisation = home if role in standing.ORGANISATION_ROLES else None
        return self._token(self._person(name, home), role=role, organisation=organisation)

    def _member(
        self,
        name: str,
        home: str,
        project: str,
        *,
        last_day: date | None = None,
        seconded_to: date | None = None,
    ) -> Principal:
        person = self._person(name, home)
        first_day = self.clock().date()
        projects.add_member(
            self.connection, project=project, person=person, first_day=first_day, last_day=last_day
        )
        if seconded_to is not None:
            secondments.register(
                self.connection,
                person=person,
                host_project=project,
                first_day=first_day,
                last_day=seconded_to,
            )
        return self._token(person, project=project)

    def join(self, name: str, home: str, **given: Any) -> Principal:
        with self.database.writing() as connection:
            self.connection = connection
            return self._member(name, home, "squad", **given)

    def admit(self, principal: Principal, *, in_days: int = 0) -> None:
        """Let somebody who is there already into the squad."""
        with self.database.writing() as connection:
            projects.add_member(
                connection,
                project="squad",
                person=principal.person_id,
                first_day=self.clock().date() + timedelta(days=in_days),
            )

    def as_member(self, principal: Principal) -> Principal:
        """Somebody whom the squad admitted, acting in it."""
        with self.database.writing() as connection:
            self.connection = connection
            return self._token(principal.person_id, project="squad")

    def dismiss(self, principal: Principal) -> None:
        """End a membership of the squad at once."""
        with self.database.writing() as connection:
            projects.end_membership(
                connection,
                project="squad",
                person=principal.person_id,
                last_day=self.clock().date() - timedelta(days=1),
            )

    def release(self, schema: TableSchema, dataset: DatasetAddress = HOUSING) -> None:
        content = str(schema).encode()
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / digest
        path.write_bytes(content)
        now = self.clock()
        with self.database.writing() as connection:
            lease = timedelta(hours=1)
            intent = releases.begin(
                connection, dataset, parent=None, by="ada", now=now, lease=lease
            )
            if datasets.find(connection, dataset) is None:
                datasets.register(connection, Dataset(address=dataset, title="x", created_at=now))
            file = releases.upload(self.store, intent, path, sha256=digest, rows=1)
            table = under_contract(
                datasets.contract(connection, dataset.table("housing")),
                name="housing",
                schema=schema,
                files=[file],
            )
            before = releases.latest(connection, dataset)
            releases.commit(connection, intent, with_table(before, table), notes="", now=now)

    def draft(self, **given: Any) -> RequestDraft:
        values: dict[str, Any] = {
            "dataset": HOUSING,
            "tables": (SHEFFIELD,),
            "last_day": LAST_DAY,
            "data_type": DataType.NONE,
            "aims": "Find families early.",
            "power": Power.LEGISLATION,
            "gateway": "DEA2017_S35",
        }
        return RequestDraft(**(values | given))

    def asked(self, **given: Any) -> ShareRequest:
        return self.sharing.ask(self.member, self.draft(**given))

    def approved(self, approval: Approval | None = None, **given: Any) -> Agreement:
        request = self.asked(**given)
        return self.sharing.approve(self.owner, request.id, approval or Approval(reason="Lawful."))

    def decide(self, principal: Principal, action: Action = Action.QUERY) -> Decision:
        with self.database.writing() as connection:
            now = self.clock()
            current = tokens.renew(connection, principal, now=now)
            return enforcement.decide(
                connection, self.point, current, action, str(HOUSING), now=now
            )

    def revision(self) -> int:
        with self.database.reading() as connection:
            return revision.read(connection)

    def entries(self, *kinds: EntryKind) -> list[tuple[EntryKind, dict[str, Any]]]:
        with self.database.reading() as connection:
            found = latest(connection, kinds=kinds)
        return [(entry.kind, dict(entry.facts)) for entry in found]


@pytest.fixture
def world(database: Database, clock: Any, tmp_path: Path, places: Places) -> World:
    return World(database, clock, tmp_path, places)


def test_an_approval_is_the_enforcement_until_the_midnight_that_ends_the_last_day(
    world: World, clock: Any
):
    assert not world.decide(world.member).allowed
    request = world.asked()
    assert request.state is RequestState.SUBMITTED
    assert not world.decide(world.member).allowed

    before = world.revision()
    agreement = world.sharing.approve(world.owner, request.id, Approval(reason="Lawful."))
    assert world.revision() == before + 1

    decision = world.decide(world.member)
    assert decision.allowed
    assert decision.grant == f"agreement:{agreement.id}"
    scope = TableScope(
        table="housing",
        columns=("area", "households"),
        rows=RowsInPlaces(places=(Places.load().find("Sheffield").code,)),
    )
    assert decision.obligations == (
        RestrictTo(tables=(scope,)),
        LimitOutput(tier=OutputTier.ROWS),
    )
    ends = datetime.fromisoformat("2027-06-30T23:00:00+00:00")
    assert decision.until == agreement.ends_at == ends
    assert not world.decide(world.stranger).allowed

    clock.now = ends - timedelta(seconds=1)
    assert world.decide(world.member).allowed
    clock.now = ends
    assert not world.decide(world.member).allowed
    (held,) = world.sharing.agreements(world.member)
    assert held.state(ends) is AgreementState.EXPIRED
    assert "ended at the end of 30 June 2027" in world.sharing.why(world.member, HOUSING).sentence


def test_who_when_and_why_of_every_move_is_kept_and_in_the_log(world: World, clock: Any):
    request = world.asked()
    clock.advance(timedelta(hours=1))
    world.sharing.take_up(world.owner, request.id)
    world.sharing.return_(world.owner, request.id, "Which wards?")
    world.sharing.ask_again(
        world.member, request.id, world.draft(aims="Find families in Burngreave.")
    )
    world.sharing.approve(world.owner, request.id, Approval(reason="Lawful."))
    held = world.sharing.request(world.member, request.id)
    assert [(move.after.value, move.by_name, move.why) for move in held.moves] == [
        ("submitted", "member", ""),
        ("in_review", "owner", ""),
        ("returned", "owner", "Which wards?"),
        ("submitted", "member", ""),
        ("in_review", "owner", ""),
        ("accepted", "owner", "Lawful."),
    ]
    assert held.moves[1].at == clock.now
    assert held.draft.aims == "Find families in Burngreave."
    recorded = [facts["after"] for _, facts in world.entries(EntryKind.REQUEST_MOVED)]
    assert sorted(recorded) == sorted(move.after.value for move in held.moves)
    ((_, made),) = world.entries(EntryKind.AGREEMENT_MADE)
    assert (made["project"], made["dataset"], made["last_day"]) == (
        "squad",
        "mhclg.housing",
        "2027-06-30",
    )


def test_a_revoked_agreement_opens_nothing_from_that_moment(world: World):
    agreement = world.approved()
    before = world.revision()
    with pytest.raises(AccessDenied):
        world.sharing.revoke(world.member, agreement.id, "Mine.")
    for outsider in (world.stranger, world.other_owner):
        with pytest.raises(UnknownRecord):
            world.sharing.revoke(outsider, agreement.id, "Not mine.")
    assert world.revision() == before
    assert world.decide(world.member).allowed

    world.sharing.revoke(world.owner, agreement.id, "The purpose changed.")
    assert world.revision() == before + 1
    assert not world.decide(world.member).allowed
    (held,) = world.sharing.agreements(world.member)
    assert held.state(world.clock()) is AgreementState.REVOKED
    with pytest.raises(InvalidSharing, match="revoked already"):
        world.sharing.revoke(world.owner, agreement.id, "Again.")
    ((_, ended),) = world.entries(EntryKind.AGREEMENT_ENDED)
    assert ended["agreement"] == agreement.id


def test_when_the_log_cannot_be_written_nothing_is_agreed(world: World):
    request = world.asked()
    before = world.revision()
    with world.database.writing() as connection:
        connection.execute(text("ALTER TABLE audit_pending RENAME TO audit_pending_away"))
    with pytest.raises(AuditUnavailable):
        world.sharing.approve(world.owner, request.id, Approval(reason="Lawful."))
    with world.database.writing() as connection:
        connection.execute(text("ALTER TABLE audit_pending_away RENAME TO audit_pending"))
    assert not world.decide(world.member).allowed
    assert world.sharing.agreements(world.member) == ()
    assert world.sharing.request(world.owner, request.id).state is RequestState.SUBMITTED
    assert world.revision() == before


def test_an_approval_may_be_narrower_and_never_wider(world: World):
    request = world.asked(tables=(OPEN,))
    narrow = TableScope(
        table="housing", columns=("households",), rows=RowsInPlaces(places=("Leeds",))
    )
    landlord = msgspec.structs.replace(OPEN, columns=("area", "landlord"))
    for wider in (
        Approval(scope=(landlord,), reason="All of it."),
        Approval(last_day=LAST_DAY + timedelta(days=1), reason="Longer."),
    ):
        with pytest.raises(InvalidSharing, match="cannot be approved") as refused:
            world.sharing.approve(world.owner, request.id, wider)
        assert len(refused.value.lines) >= 1
    assert not world.decide(world.member).allowed

    sooner = date(2026, 12, 31)
    approval = Approval(scope=(narrow,), last_day=sooner, reason="In part.")
    agreement = world.sharing.approve(world.owner, request.id, approval)
    assert agreement.last_day == sooner
    (scope,) = agreement.terms.scope
    assert scope.columns == ("households",)
    decision = world.decide(world.member)
    assert decision.until == datetime.fromisoformat("2027-01-01T00:00:00+00:00")
    assert decision.obligations[0] == RestrictTo(tables=(scope,))


@pytest.mark.parametrize("tier", [OutputTier.AGGREGATE, OutputTier.REVIEWED])
def test_what_no_exit_can_serve_is_not_approved_and_replaces_nothing(
    world: World, tier: OutputTier
):
    before = world.approved()
    request = world.asked()
    with pytest.raises(InvalidSharing) as refused:
        world.sharing.approve(world.owner, request.id, Approval(reason="Safe.", output_tier=tier))
    assert refused.value.lines == ("Only rows can be served yet: choose the output tier rows.",)
    assert world.decide(world.member).grant == f"agreement:{before.id}"


def test_rows_and_columns_that_were_not_asked_for_are_not_approved(world: World):
    request = world.asked(tables=(msgspec.structs.replace(SHEFFIELD, columns=("area",)),))
    for scope, part in (
        (msgspec.structs.replace(OPEN, columns=("area",)), "rows of housing go beyond"),
        (SHEFFIELD, 'column "households"'),
    ):
        with pytest.raises(InvalidSharing) as refused:
            world.sharing.approve(world.owner, request.id, Approval(scope=(scope,), reason="More."))
        (line,) = refused.value.lines
        assert part in line


def test_an_agreement_is_for_the_purpose_of_its_project(world: World):
    world.approved()
    resource = Resource(dataset=str(HOUSING))
    stage = Audience.LOCAL_GOVERNMENT
    answers = {}
    with world.database.reading() as connection:
        for purpose in ("The purpose of the squad.", "Another purpose.", "*"):
            environment = Environment(now=world.clock(), stage=stage, purpose=purpose)
            subject = world.member.subject
            answers[purpose] = world.point.decide(
                connection, subject, Action.QUERY, resource, environment
            ).allowed
    assert answers == {"The purpose of the squad.": True, "Another purpose.": False, "*": False}


def test_a_column_that_is_added_later_is_in_no_earlier_agreement(world: World):
    everything = TableScope(table="housing", columns=("*",), rows=AllRows())
    personal = {"data_type": DataType.PERSONAL, "article_6": "e", "controller": "controller"}
    request = world.sharing.ask(
        world.member,
        msgspec.convert(
            msgspec.to_builtins(world.draft(tables=(everything,))) | personal, RequestDraft
        ),
    )
    added = TableSchema(columns=(*SCHEMA.columns, Column(name="income", type="BIGINT")))
    world.release(added)
    agreement = world.sharing.approve(
        world.owner, request.id, Approval(scope=(everything,), reason="Lawful.")
    )
    (scope,) = agreement.terms.scope
    assert scope.columns == ("area", "households", "landlord")
    (held,) = world.sharing.agreements(world.owner)
    assert held.state(world.clock()) is AgreementState.ACTIVE


def test_one_agreement_of_a_project_over_a_dataset_is_in_force(world: World):
    first = world.approved()
    second = world.approved(tables=(OPEN,), last_day=date(2027, 9, 30))
    assert world.decide(world.member).grant == f"agreement:{second.id}"
    states = {held.id: held.state(world.clock()) for held in world.sharing.agreements(world.member)}
    assert states == {first.id: AgreementState.REPLACED, second.id: AgreementState.ACTIVE}
    ((_, revised),) = world.entries(EntryKind.AGREEMENT_REVISED)
    assert revised["replaces"] == first.id
    with world.database.reading() as connection:
        row = dict(
            connection.execute(
                select(records.agreements).where(records.agreements.c.id == second.id)
            )
            .mappings()
            .one()
        )
    copy = {str(name): value for name, value in row.items()} | {"id": "copy"}
    with pytest.raises(IntegrityError), world.database.writing() as connection:
        connection.execute(insert(records.agreements), copy)


def test_two_owners_who_approve_at_once_leave_one_agreement(world: World):
    wanted = [world.asked(), world.asked(tables=(OPEN,))]
    together = Barrier(2)

    def approve(request: ShareRequest) -> Agreement:
        together.wait()
        return world.sharing.approve(world.owner, request.id, Approval(reason="Lawful."))

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(approve, wanted))
    held = world.sharing.agreements(world.owner)
    assert {one.id for one in made} == {one.id for one in held}
    active = [one for one in held if one.state(world.clock()) is AgreementState.ACTIVE]
    assert len(active) == 1
    assert world.decide(world.member).grant == f"agreement:{active[0].id}"


def test_only_owners_of_the_dataset_decide_and_never_on_their_own_request(world: World):
    request = world.asked()
    with pytest.raises(AccessDenied):
        world.sharing.approve(world.member, request.id, Approval(reason="Please."))
    for outsider in (world.stranger, world.other_owner):
        with pytest.raises(UnknownRecord):
            world.sharing.approve(outsider, request.id, Approval(reason="Mine."))
        assert world.sharing.requests(outsider) == ()
        with pytest.raises(UnknownRecord):
            world.sharing.request(outsider, request.id)
    assert [found.id for found in world.sharing.requests(world.owner)] == [request.id]
    world.admit(world.owner)
    own = world.sharing.ask(world.as_member(world.owner), world.draft())
    with pytest.raises(AccessDenied, match="does not decide"):
        world.sharing.approve(world.owner, own.id, Approval(reason="To myself."))


def _decisions(world: World, request: ShareRequest) -> tuple[Callable[[], object], ...]:
    return (
        lambda: world.sharing.take_up(world.owner, request.id),
        lambda: world.sharing.return_(world.owner, request.id, "Which wards?"),
        lambda: world.sharing.reject(world.owner, request.id, "No."),
        lambda: world.sharing.approve(world.owner, request.id, Approval(reason="Yes.")),
    )


def test_an_owner_who_belonged_to_the_asking_project_meanwhile_does_not_decide(
    world: World, clock: Any
):
    request = world.asked()
    world.admit(world.owner)
    for decide in _decisions(world, request):
        with pytest.raises(AccessDenied, match="nor does a member of squad"):
            decide()
    world.dismiss(world.owner)
    clock.advance(timedelta(days=30))
    for decide in _decisions(world, request):
        with pytest.raises(AccessDenied, match="nor does a member of squad"):
            decide()
    later = world.asked()
    world.sharing.approve(world.owner, later.id, Approval(reason="I left before."))


def test_an_owner_who_is_yet_to_join_the_project_decides(world: World):
    world.admit(world.owner, in_days=40)
    world.sharing.approve(world.owner, world.asked().id, Approval(reason="Lawful."))


def test_whoever_wrote_a_request_anew_does_not_decide_on_it(world: World):
    request = world.asked()
    world.sharing.return_(world.owner, request.id, "Which wards?")
    world.admit(world.owner)
    world.sharing.ask_again(
        world.as_member(world.owner), request.id, world.draft(aims="All of them.")
    )
    with world.database.writing() as connection:
        connection.execute(
            text("DELETE FROM memberships WHERE person = :p"), {"p": world.owner.person_id}
        )
    with pytest.raises(AccessDenied, match="Whoever asked for data does not decide"):
        world.sharing.approve(world.owner, request.id, Approval(reason="Mine."))


def test_a_request_moves_only_as_its_states_allow(world: World):
    request = world.asked()
    with pytest.raises(InvalidSharing, match="A decision has a reason"):
        world.sharing.reject(world.owner, request.id, " ")
    with pytest.raises(AccessDenied):
        world.sharing.cancel(world.owner, request.id)
    for refuse in (
        lambda: world.sharing.reject(world.owner, request.id, "No\0."),
        lambda: world.sharing.cancel(world.member, request.id, "No\0."),
    ):
        with pytest.raises(InvalidSharing) as refused:
            refuse()
        assert "NUL" in refused.value.lines[0]
    rejected = world.sharing.reject(world.owner, request.id, "No power for this.")
    assert rejected.state is RequestState.REJECTED
    with pytest.raises(InvalidSharing, match="rejected and cannot become"):
        world.sharing.approve(world.owner, request.id, Approval(reason="After all."))
    with pytest.raises(InvalidSharing):
        world.sharing.ask_again(world.member, request.id, world.draft())
    cancelled = world.sharing.cancel(world.member, world.asked().id)
    assert cancelled.state is RequestState.CANCELLED
    assert not world.decide(world.member).allowed


def test_an_incomplete_request_is_refused_line_by_line_and_leaves_nothing(world: World):
    with pytest.raises(InvalidSharing) as refused:
        world.asked(aims="", power=Power.DONT_KNOW, leaves_uk=True)
    assert len(refused.value.lines) == 3
    with pytest.raises(InvalidSharing, match="by a project"):
        world.sharing.ask(world.owner, world.draft())
    assert world.sharing.requests(world.member) == ()
    assert world.entries(EntryKind.REQUEST_MOVED) == []


@pytest.mark.parametrize("unfit", ["\0", "\x1b[2J", "\ud800"])
def test_no_text_of_a_request_holds_what_a_database_cannot_keep(world: World, unfit: str):
    chosen = RowsWithValues(column="area", values=(unfit,))
    texts: dict[str, Any] = {
        "aims": f"Some{unfit}text",
        "deletion": unfit,
        "gateway": unfit,
        "countries": (f"Ireland{unfit}",),
        "named_people": (f"member{unfit}@example.org",),
        "other_organisations": ("A charity", unfit),
        "tables": (msgspec.structs.replace(SHEFFIELD, rows=chosen),),
    }
    for field, given in texts.items():
        with pytest.raises(InvalidSharing) as refused:
            world.asked(**{field: given})
        (line,) = refused.value.lines
        assert "holds a NUL or another control character" in line
        assert unfit not in line


def test_a_request_says_no_more_than_people_can_read(world: World):
    long = RowsWithValues(column="area", values=("a" * 1001,))
    many = RowsWithValues(column="area", values=("a",) * 2001)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"aims": "a" * 10_001}, '"aims" has a text of 10001 characters; 10000 are the most.'),
        ({"named_people": ("a",) * 101}, '"named_people" lists 101; 100 are the most.'),
        ({"countries": ("a" * 1001,)}, '"countries" has a text of 1001 characters; 1000'),
        ({"actions": (Action.QUERY,) * 101}, '"actions" lists 101; 100 are the most.'),
        ({"tables": (SHEFFIELD,) * 101}, '"tables" lists 101; 100 are the most.'),
        ({"tables": (msgspec.structs.replace(SHEFFIELD, rows=long),)}, '"values" has a text'),
        ({"tables": (msgspec.structs.replace(SHEFFIELD, rows=many),)}, '"values" lists 2001;'),
    )
    for given, line in cases:
        with pytest.raises(InvalidSharing) as refused:
            world.asked(**given)
        assert refused.value.lines[0].startswith(line)
    assert world.asked(aims="a" * 10_000).state is RequestState.SUBMITTED


def test_a_list_of_faults_is_cut_and_counted(world: World):
    strangers = tuple(f"nobody{number}@example.org" for number in range(100))
    columns = tuple(f"none{number}" for number in range(2000))
    cases: tuple[tuple[dict[str, Any], int], ...] = (
        ({"named_people": strangers}, 80),
        ({"tables": (msgspec.structs.replace(SHEFFIELD, columns=columns),)}, 1980),
        ({"countries": ("a" * 1001,) * 100}, 80),
    )
    for given, more in cases:
        with pytest.raises(InvalidSharing) as refused:
            world.asked(**given)
        assert len(refused.value.lines) == 21
        assert refused.value.lines[-1] == f"There are {more} more like these."


def test_lines_and_tabs_are_text(world: World):
    aims = "1.\tFind families early.\r\n2.\tHelp them."
    request = world.asked(aims=aims)
    assert world.sharing.request(world.member, request.id).draft.aims == aims


def test_no_text_of_a_decision_holds_what_a_database_cannot_keep(world: World):
    request = world.asked()
    chosen = RowsWithValues(column="area", values=("a\0",))
    for approval in (
        Approval(reason="Law\0ful."),
        Approval(reason="Lawful.", scope=(msgspec.structs.replace(SHEFFIELD, rows=chosen),)),
    ):
        with pytest.raises(InvalidSharing) as refused:
            world.sharing.approve(world.owner, request.id, approval)
        assert "control character" in "".join(refused.value.lines)
    with pytest.raises(InvalidSharing):
        world.standing.offer(
            world.owner,
            HOUSING,
            Audience.PUBLIC,
            (msgspec.structs.replace(SHEFFIELD, rows=chosen),),
        )


def test_members_drop_off_on_their_own_day_and_somebody_must_remain(world: World, clock: Any):
    seconded = world.join("technologist", "acme", seconded_to=date(2026, 12, 31))
    agreement = world.approved()
    assert agreement.terms.notes == ("technologist drops off at the end of 31 December 2026.",)
    assert world.decide(seconded).allowed
    clock.now = datetime.fromisoformat("2027-01-01T00:00:00+00:00")
    assert world.decide(world.member).allowed
    with pytest.raises(Unauthenticated, match="secondment"):
        world.decide(seconded)

    with world.database.writing() as connection:
        projects.end_membership(
            connection,
            project="squad",
            person=world.member.person_id,
            last_day=date(2027, 3, 31),
        )
    with pytest.raises(InvalidSharing, match="Nobody remains") as refused:
        world.asked()
    assert "31 March 2027" in refused.value.next_step
    world.asked(last_day=date(2027, 3, 31))


def test_an_agreement_does_not_reach_a_member_of_a_less_trusted_audience(world: World):
    contractor = world.join("contractor", "acme")
    world.approved()
    with world.database.writing() as connection:
        open_up_to(connection, Audience.PUBLIC)
    decision = world.decide(contractor)
    assert contractor.subject.audience is Audience.BUSINESS
    assert not decision.allowed
    assert world.decide(world.member).allowed


def test_where_people_are_named_only_they_are_covered(world: World):
    colleague = world.join("colleague", "sheffield")
    with pytest.raises(InvalidSharing, match="not in the project"):
        world.asked(named_people=("stranger@example.org",))
    world.approved(named_people=("Colleague@example.org",))
    assert world.decide(colleague).allowed
    assert not world.decide(world.member).allowed


def test_a_dataset_that_the_caller_may_not_know_of_answers_as_none(world: World):
    secret = DatasetAddress("mhclg", "secret")
    world.release(SCHEMA, secret)
    nothing = DatasetAddress("mhclg", "nothing")
    told = []
    for address in (secret, nothing):
        for attempt in (
            lambda at=address: world.sharing.ask(world.member, world.draft(dataset=at)),
            lambda at=address: world.sharing.why(world.member, at),
        ):
            with pytest.raises(UnknownDataset) as refused:
                attempt()
            told.append(refused.value.detail.replace(str(address), "X"))
    assert len(set(told)) == 1


def test_a_column_that_rows_are_chosen_by_counts_as_told(world: World):
    by_landlord = TableScope(
        table="housing",
        columns=("area",),
        rows=RowsWithValues(column="landlord", values=("J. Smith",)),
    )
    with pytest.raises(InvalidSharing) as refused:
        world.asked(tables=(by_landlord,))
    assert "landlord" in refused.value.lines[0]
    with pytest.raises(InvalidSharing):
        world.standing.offer(world.owner, HOUSING, Audience.PUBLIC, (by_landlord,))


def test_a_hostile_identifier_is_one_that_does_not_exist(world: World):
    attempts: tuple[Callable[[str], object], ...] = (
        lambda given: world.sharing.request(world.owner, given),
        lambda given: world.sharing.revoke(world.owner, given, "x"),
        lambda given: world.standing.withdraw(world.owner, given, "x"),
        lambda given: world.standing.resume(world.operator, given, "x"),
        lambda given: world.sharing.why(world.owner, HOUSING, person=given, project=given),
    )
    for hostile in ("a\0b", "' OR 1=1 --", "../..", "\ud800", ""):
        for attempt in attempts:
            with pytest.raises(UnknownRecord):
                attempt(hostile)


def test_an_offer_opens_to_its_audience_until_it_is_withdrawn(world: World):
    with pytest.raises(AccessDenied):
        world.standing.offer(world.other_owner, HOUSING, Audience.PUBLIC, (OPEN,))
    with pytest.raises(InvalidSharing) as refused:
        world.standing.offer(world.owner, HOUSING, Audience.PUBLIC)
    assert "landlord" in refused.value.lines[0]

    offer = world.standing.offer(world.owner, HOUSING, Audience.PUBLIC, (OPEN,))
    decision = world.decide(world.stranger)
    assert decision.grant == f"offer:{offer.id}"
    assert decision.obligations[0] == RestrictTo(tables=(OPEN,))
    with world.database.writing() as connection:
        open_up_to(connection, Audience.GOVERNMENT, str(HOUSING))
    assert not world.decide(world.stranger).allowed
    with world.database.writing() as connection:
        open_up_to(connection, Audience.PUBLIC, str(HOUSING))
    world.standing.withdraw(world.owner, offer.id, "Superseded.")
    assert not world.decide(world.stranger).allowed


def test_an_operator_closes_a_dataset_a_project_or_a_person_at_once(world: World):
    world.approved()
    closings: list[dict[str, Any]] = [
        {"dataset": str(HOUSING)},
        {"dataset": "mhclg.*"},
        {"party": Party(project="squad")},
        {"party": Party(person=world.member.person_id)},
        {"party": Party(person="member@example.org")},
        {"party": Party(organisation="sheffield")},
        {"dataset": str(HOUSING), "party": Party(audience=Audience.LOCAL_GOVERNMENT)},
    ]
    for target in closings:
        with pytest.raises(AccessDenied):
            world.standing.stop(world.member, reason="A leak.", **target)
        before = world.revision()
        stop = world.standing.stop(world.operator, reason="A leak.", **target)
        assert world.revision() == before + 1
        refused = world.decide(world.member)
        assert not refused.allowed
        assert "An operator has closed this" in refused.reason
        assert "leak" not in refused.reason
        world.standing.resume(world.operator, stop.id, "Found and closed.")
        assert world.decide(world.member).allowed
    assert len(world.entries(EntryKind.RULE_DENIED)) == 2 * len(closings)


def test_a_refusal_is_explained_with_what_to_ask_for(world: World):
    told = world.sharing.why(world.member, HOUSING)
    assert not told.decision.allowed
    assert told.nearest is None
    assert "data share request for mhclg.housing" in told.ask

    agreement = world.approved(actions=(Action.QUERY,))
    assert world.sharing.why(world.member, HOUSING).decision.allowed
    download = world.sharing.why(world.member, HOUSING, Action.DOWNLOAD)
    assert download.nearest is not None
    assert download.nearest.grant == f"agreement:{agreement.id}"
    assert "another use" in download.sentence
    assert "extend" in download.ask

    with world.database.writing() as connection:
        open_up_to(connection, Audience.GOVERNMENT)
    with pytest.raises(UnknownDataset):
        world.sharing.why(world.member, HOUSING)  # closed to the audience: not even to be found


def test_owners_may_ask_about_others_and_nobody_else(world: World):
    world.approved()
    about = {"person": "member@example.org", "project": "squad"}
    assert world.sharing.why(world.owner, HOUSING, **about).decision.allowed
    with pytest.raises(AccessDenied):
        world.sharing.why(world.stranger, HOUSING, **about)
    elsewhere = {"person": "member@example.org", "project": "others"}
    told = world.sharing.why(world.owner, HOUSING, **elsewhere)
    assert not told.decision.allowed
    assert "not a member of others" in told.sentence


def test_who_asked_why_about_whom_and_what_was_told_is_in_the_log(world: World):
    world.approved()
    told = world.sharing.why(world.member, HOUSING)
    world.sharing.why(world.owner, HOUSING, person="member@example.org", project="others")
    with pytest.raises(UnknownRecord):
        world.sharing.why(world.owner, HOUSING, person="\ud800" * 999, project="squad")
    with pytest.raises(UnknownDataset):
        world.sharing.why(world.member, DatasetAddress("mhclg", "nothing"))
    with world.database.reading() as connection:
        found = latest(connection, kinds=[EntryKind.ACCESS_EXPLAINED])
    kept = {
        (entry.person["name"], entry.person.get("about_person"), entry.facts["dataset"])
        for entry in found
    }
    assert len(found) == 4
    assert kept == {
        ("member", None, "mhclg.housing"),
        ("owner", "member@example.org", "mhclg.housing"),
        ("owner", "\\ud800" * 320, "mhclg.housing"),
        ("member", None, "mhclg.nothing"),
    }
    (allowed,) = [entry for entry in found if entry.facts["allowed"]]
    assert (allowed.person["name"], allowed.person["reason"]) == ("member", told.sentence)
    assert allowed.facts["action"] == "dataset:query"


def test_looking_through_requests_and_agreements_is_one_entry_a_call(world: World):
    request = world.asked()
    world.approved()
    world.sharing.requests(world.owner)
    world.sharing.agreements(world.member)
    world.sharing.request(world.member, request.id)
    with pytest.raises(UnknownRecord):
        world.sharing.request(world.stranger, request.id)
    read = [facts for _, facts in world.entries(EntryKind.SHARING_READ)]
    assert sorted((facts["what"], facts["found"], facts["project"]) for facts in read) == [
        ("agreements", 1, "squad"),
        (f"request:{request.id}", 1, "squad"),
        ("requests", 2, ""),
    ]


def test_the_names_that_rules_are_written_for_are_those_of_the_callers(world: World):
    assert principals.project("squad") in world.member.subject.principals
    assert principals.role(Role.OWNER, "mhclg") in world.owner.subject.principals
