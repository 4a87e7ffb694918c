"""Who acts as what, who stops whom, and what ends by time; on both databases."""

from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from time import monotonic
from typing import Any

import pyarrow as pa
import pytest

from access_policies.vocabulary import Action, Audience, Authority, Role
from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import Classification, Handling
from catalogue.errors import AboveOfficial, UnknownDataset, UnknownPlace
from marketplace.audit.entries import EntryKind, latest
from marketplace.client import Client, MarketplaceProblem
from marketplace.clock import end_of_last_day
from marketplace.errors import (
    AccessDenied,
    AccessEnded,
    InvalidSharing,
    RecordExists,
    RequestMalformed,
    Unauthenticated,
    UnknownRecord,
)
from marketplace.identity.organisations import Organisation
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.publish import DatasetDetails
from marketplace.rollout.proposals import Target
from marketplace.sharing.agreements import AgreementState
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.stops import Party
from marketplace.sharing.vocabulary import DataType, Power
from marketplace.wire import AppointmentForm, OfferForm, StopForm

from .conftest import ARROW, BY, HOUSEHOLDS, LAST_DAY, Acts, World, publish

HOMES = DatasetAddress("mhclg", "homes")
COUNT = "SELECT count(*) AS homes FROM mhclg.homes"
ENDLESS = "SELECT r.range AS n, h.area FROM range(2000000000) r, mhclg.homes h"
# Longer than a result goes without looking again whether access stands.
READ_ON_SECONDS = 1.0


class Country(World):
    """The small country with more people to name, dismiss, deputise and stop."""

    def operator(self) -> Principal:
        """An operator, at home in the ministry."""
        return self.principal("operator")

    def administrator(self) -> Principal:
        """The ministry's administrator."""
        email = self.hire("administrator")
        return self.sign_in("administrator", email, role=Role.ADMINISTRATOR, organisation="mhclg")

    def ask(self, **given: Any) -> str:
        """Ask for the homes as the member; returns the request."""
        values: dict[str, Any] = {
            "dataset": HOMES,
            "last_day": LAST_DAY,
            "data_type": DataType.NONE,
            "aims": "Fewer families in bed and breakfast",
            "power": Power.LEGISLATION,
            "power_named": "Housing Act 1996, section 208",
        }
        return self.marketplace.sharing.ask(self.member, RequestDraft(**values | given)).id

    def entries(self, kind: EntryKind) -> list[Any]:
        with self.marketplace.database.reading() as connection:
            return list(latest(connection, kinds=[kind]))

    def may_read(self, name: str = "member") -> bool:
        """Whether a person gets rows."""
        try:
            return bool(self.query(COUNT, by=name))
        except (AccessDenied, UnknownDataset):
            return False


@pytest.fixture(scope="module")
def acts() -> Acts:
    return publish


@pytest.fixture
def world(marketplace, entered, tmp_path) -> Country:
    return Country(marketplace, tmp_path, entered)


# Stops


@pytest.mark.parametrize(
    "target",
    [
        {"dataset": "mhclg.homes"},
        {"dataset": "mhclg.*"},
        {"dataset": "mhclg.homes", "party": Party(audience=Audience.LOCAL_GOVERNMENT)},
        {"dataset": "mhclg.*", "party": Party(person="member@sheffield.example")},
        {"party": Party(project="sheffield_squad")},
        {"party": Party(person="member@sheffield.example")},
        {"party": Party(organisation="sheffield")},
    ],
    ids=str,
)
def test_a_stop_ends_reading_and_its_end_gives_it_back(world: Country, target: dict[str, Any]):
    operator = world.operator()
    world.share()
    running = iter(world.deliver(ENDLESS))
    next(running)
    stop = world.marketplace.standing.stop(operator, reason="A leak.", **target)
    with pytest.raises(AccessEnded):
        deque(running, maxlen=0)
    assert not world.may_read()
    told = world.marketplace.sharing.why(world.member, HOMES)
    assert not told.decision.allowed
    assert "An operator of the marketplace stopped" in told.sentence
    assert "The reason given: A leak." in told.sentence
    world.marketplace.standing.resume(operator, stop.id, "Closed.")
    assert world.may_read()
    (held,) = world.marketplace.standing.stops(operator)
    assert (held.reason, held.end_reason, held.made_by_name) == ("A leak.", "Closed.", "operator")
    assert len(world.entries(EntryKind.RULE_DENIED)) == 2


def test_a_stopped_dataset_is_found_and_the_rest_stays_open(world: Country):
    world.publish(address="mhclg.streets")
    for address in ("mhclg.homes", "mhclg.streets"):
        world.share(address)
    world.marketplace.standing.stop(world.operator(), dataset="mhclg.homes", reason="Wrong.")
    assert [str(one.address) for one in world.marketplace.discovery.search(world.member)] == [
        "mhclg.homes",
        "mhclg.streets",
    ]
    assert not world.may_read()
    assert not world.may_read("owner")
    assert world.query("SELECT count(*) AS n FROM mhclg.streets") == [{"n": 3}]


def test_whoever_is_stopped_everywhere_finds_nothing_and_is_told_only_that(world: Country):
    operator = world.operator()
    world.share()
    world.marketplace.standing.stop(
        operator, party=Party(project="sheffield_squad"), reason="A lost laptop."
    )
    assert world.marketplace.discovery.search(world.member) == ()
    for name in ("homes", "nothing"):
        told = world.marketplace.sharing.why(world.member, DatasetAddress("mhclg", name))
        assert "everything for the project sheffield_squad" in told.sentence


def test_stopping_an_organisation_stops_whom_it_seconded_too(world: Country):
    operator = world.operator()
    email = world.hire("technologist", "acme")
    world.marketplace.administration.second(
        email=email,
        host_project="sheffield_squad",
        first_day=date(2026, 11, 1),
        last_day=date(2026, 12, 20),
        by=BY,
    )
    world.marketplace.administration.add_member(
        project="sheffield_squad",
        email=email,
        first_day=date(2026, 11, 1),
        last_day=None,
        by=BY,
    )
    world.sign_in("technologist", email, project="sheffield_squad")
    world.share()
    assert world.may_read("technologist")
    world.marketplace.standing.stop(operator, party=Party(organisation="acme"), reason="A breach.")
    assert not world.may_read("technologist")
    assert world.may_read("member")


def test_only_the_authority_that_made_a_stop_ends_it_and_no_permission_overrides_it(
    world: Country,
):
    makers = {
        Authority.OWNER: world.owner,
        Authority.ORGANISATION: world.administrator(),
        Authority.MARKETPLACE: world.operator(),
    }
    standing = world.marketplace.standing
    made = {
        authority: standing.stop(maker, dataset="mhclg.homes", reason=authority)
        for authority, maker in makers.items()
    }
    assert {stop.authority for stop in made.values()} == set(makers)
    world.share()
    standing.offer(world.owner, HOMES, Audience.PUBLIC)
    for stop in made.values():
        assert not world.may_read()
        for authority, maker in makers.items():
            if authority is not stop.authority:
                with pytest.raises(AccessDenied, match="nobody else ends it"):
                    standing.resume(maker, stop.id, "Not mine.")
        standing.resume(makers[stop.authority], stop.id, "Mine.")
        with pytest.raises(InvalidSharing, match="ended already"):
            standing.resume(makers[stop.authority], stop.id, "Again.")
    assert world.may_read()


def test_nobody_stops_what_they_do_not_look_after(world: Country):
    standing = world.marketplace.standing
    administrator = world.administrator()
    for caller in (world.member, world.publisher, world.principal("auditor")):
        with pytest.raises(AccessDenied):
            standing.stop(caller, dataset="mhclg.homes", reason="No.")
    for caller in (world.owner, administrator):
        for target in ({"dataset": "sheffield.*"}, {"party": Party(project="sheffield_squad")}):
            with pytest.raises(AccessDenied):
                standing.stop(caller, reason="Not ours.", **target)
    stop = standing.stop(administrator, dataset="mhclg.*", reason="Ours.")
    assert standing.stops(world.member) == ()
    with pytest.raises(UnknownRecord):
        standing.resume(world.member, stop.id, "Please.")


def test_a_stop_that_means_nothing_or_its_own_maker_is_refused(world: Country):
    operator = world.operator()
    before = world.entries(EntryKind.RULE_DENIED)
    faulty: list[tuple[type[Exception], dict[str, Any]]] = [
        (RequestMalformed, {}),
        (UnknownDataset, {"dataset": "mhclg.nothing"}),
        (UnknownRecord, {"dataset": "nowhere.*"}),
        (UnknownRecord, {"party": Party(project="nobody")}),
        (UnknownRecord, {"party": Party(person="nobody@nowhere.example")}),
        (UnknownRecord, {"party": Party(organisation="nowhere")}),
        (InvalidSharing, {"party": Party(person="operator@mhclg.example")}),
        (InvalidSharing, {"party": Party(organisation="mhclg")}),
        (InvalidSharing, {"party": Party(audience=Audience.GOVERNMENT)}),
    ]
    for error, target in faulty:
        with pytest.raises(error):
            world.marketplace.standing.stop(operator, reason="A leak.", **target)
    with pytest.raises(InvalidSharing, match="has a reason"):
        world.marketplace.standing.stop(operator, dataset="mhclg.homes", reason=" ")
    with pytest.raises(RequestMalformed, match="one audience"):
        Party(project="a", person="b")
    assert world.entries(EntryKind.RULE_DENIED) == before


# Roles


def test_an_administrator_names_people_and_reads_no_data(world: Country):
    administrator = world.administrator()
    staff = world.marketplace.staff
    person = staff.register(administrator, name="Olu", email="olu@mhclg.example")
    post = staff.appoint(administrator, email=person.email, role=Role.OWNER)
    assert (post.appointment.organisation, post.appointment.first_day) == (
        "mhclg",
        date(2026, 11, 22),
    )
    assert not world.may_read("administrator")
    with pytest.raises(AccessDenied, match="Nobody names themselves"):
        staff.appoint(administrator, email="administrator@mhclg.example", role=Role.OWNER)
    for role in (Role.ADMINISTRATOR, Role.OPERATOR):
        with pytest.raises(AccessDenied):
            staff.appoint(administrator, email=person.email, role=role)
    with pytest.raises(UnknownRecord, match="nobody with that e-mail address"):
        staff.appoint(administrator, email="member@sheffield.example", role=Role.OWNER)
    with pytest.raises(RecordExists):
        staff.appoint(administrator, email=person.email, role=Role.OWNER)
    for caller in (world.member, world.publisher):
        with pytest.raises(AccessDenied):
            staff.appoint(caller, email=person.email, role=Role.PUBLISHER)

    owner = world.sign_in("olu", person.email, role=Role.OWNER, organisation="mhclg")
    request = world.ask()
    world.marketplace.sharing.approve(owner, request, Approval(reason="Lawful."))
    staff.dismiss(administrator, post.appointment.id)
    with pytest.raises(Unauthenticated, match="appointment as owner of mhclg ended"):
        world.marketplace.sharing.requests(owner)
    with pytest.raises(RequestMalformed, match="not named as owner now"):
        world.sign_in("olu", person.email, role=Role.OWNER, organisation="mhclg")
    named = [post.appointment.role for post in staff.list(administrator)]
    assert sorted(named) == [Role.ADMINISTRATOR, Role.OWNER, Role.OWNER, Role.PUBLISHER]


def test_a_deputy_decides_in_the_owners_place_while_both_are_named(world: Country, clock: Any):
    staff = world.marketplace.staff
    email = world.hire("dana")
    with pytest.raises(RequestMalformed, match="not named as deputy"):
        world.sign_in("dana", email, role=Role.DEPUTY, organisation="mhclg")
    with pytest.raises(RequestMalformed, match="until a last day"):
        staff.appoint(world.owner, email=email, role=Role.DEPUTY)
    last_day = date(2026, 12, 4)
    staff.appoint(world.owner, email=email, role=Role.DEPUTY, last_day=last_day)
    deputy = world.sign_in("dana", email, role=Role.DEPUTY, organisation="mhclg")
    assert deputy.valid_until == end_of_last_day(last_day)
    assert not world.may_read("dana")

    request = world.ask()
    world.marketplace.sharing.approve(deputy, request, Approval(reason="Lawful."))
    assert world.may_read()
    (made,) = world.entries(EntryKind.AGREEMENT_MADE)
    assert made.person["in_place_of"] == world.owner.person_id
    moved = world.marketplace.sharing.request(world.owner, request).moves[-1]
    assert moved.by_name == "dana, deputy of owner"

    clock.now = end_of_last_day(last_day) - timedelta(microseconds=1)
    assert world.principal("dana").in_place_of is not None
    clock.now += timedelta(microseconds=1)
    with pytest.raises(Unauthenticated, match="appointment as deputy of mhclg ended"):
        world.principal("dana")


def test_a_deputy_falls_with_the_owner_and_shares_the_owners_conflicts(world: Country):
    administrator = world.administrator()
    staff = world.marketplace.staff
    email = world.hire("dana")
    staff.appoint(world.owner, email=email, role=Role.DEPUTY, last_day=date(2026, 12, 4))
    deputy = world.sign_in("dana", email, role=Role.DEPUTY, organisation="mhclg")
    world.marketplace.administration.add_member(
        project="sheffield_squad",
        email="owner@mhclg.example",
        first_day=date(2026, 11, 1),
        last_day=None,
        by=BY,
    )
    request = world.ask()
    with pytest.raises(AccessDenied, match="Whoever asked for data"):
        world.marketplace.sharing.approve(deputy, request, Approval(reason="For my owner."))
    (owning,) = [one for one in staff.list(administrator) if one.appointment.role is Role.OWNER]
    staff.dismiss(administrator, owning.appointment.id)
    with pytest.raises(Unauthenticated, match="in whose place you decide"):
        world.marketplace.sharing.requests(deputy)


def test_days_of_an_appointment_that_make_no_sense_are_refused(world: Country):
    administration = world.marketplace.administration
    email = world.hire("pat")
    days = {"first_day": date(2026, 12, 2), "last_day": date(2026, 12, 1)}
    given: dict[str, Any] = {"email": email, "organisation": "mhclg", "by": BY}
    with pytest.raises(RequestMalformed, match="before its first"):
        administration.appoint(role=Role.OWNER, **given, **days)
    with pytest.raises(RequestMalformed, match="in the place of one owner"):
        administration.appoint(role=Role.DEPUTY, **given, first_day=date(2026, 12, 1))
    with pytest.raises(RequestMalformed, match="no owner of mhclg"):
        administration.appoint(
            role=Role.DEPUTY,
            in_place_of="publisher@mhclg.example",
            **given,
            **(days | {"last_day": date(2027, 1, 1)}),
        )


# Accreditation


def test_a_research_project_reads_until_the_midnight_that_ends_its_accreditation(
    world: Country, clock: Any
):
    administration = world.marketplace.administration
    world.move(Target(scope="*", stage=Audience.RESEARCHER))
    administration.register_organisations(
        [Organisation(name="leeds_university", title="Uni", audience=Audience.RESEARCHER)], by=BY
    )
    administration.register_project(
        Project(
            name="study",
            title="A study",
            purpose="To know",
            organisation="leeds_university",
            audience=Audience.RESEARCHER,
        ),
        by=BY,
    )
    email = world.hire("researcher", "leeds_university")
    administration.add_member(
        project="study", email=email, first_day=date(2026, 1, 1), last_day=None, by=BY
    )
    world.marketplace.standing.offer(world.owner, HOMES, Audience.RESEARCHER)
    assert world.sign_in("researcher", email, project="study").subject.audience is Audience.PUBLIC
    assert not world.may_read("researcher")

    last_day = date(2027, 3, 27)  # Summer time begins in the night after it.
    administration.accredit("study", until=last_day, by=BY)
    researcher = world.principal("researcher")
    assert researcher.subject.audience is Audience.RESEARCHER
    assert researcher.valid_until == researcher.changes_at == end_of_last_day(last_day)
    assert world.may_read("researcher")
    running = iter(world.deliver(ENDLESS, by="researcher"))
    next(running)
    clock.now = end_of_last_day(last_day) - timedelta(microseconds=1)
    next(running)
    assert world.may_read("researcher")
    clock.now += timedelta(microseconds=1)
    with pytest.raises(AccessEnded):
        deque(running, maxlen=0)
    assert not world.may_read("researcher")
    assert len(world.entries(EntryKind.PROJECT_ACCREDITED)) == 1


# Extensions and warnings


def test_an_extension_keeps_the_agreement_its_history_and_what_runs_under_it(
    world: Country, clock: Any
):
    agreement = world.share(last_day=date(2026, 12, 10))
    running = iter(world.deliver(ENDLESS))
    next(running)
    extended = world.marketplace.sharing.extend(
        world.owner, agreement.id, date(2027, 3, 31), "It helps."
    )
    read_until = monotonic() + READ_ON_SECONDS
    while monotonic() < read_until:
        next(running)
    assert (extended.id, extended.last_day) == (agreement.id, date(2027, 3, 31))
    world.marketplace.sharing.extend(world.owner, agreement.id, date(2027, 6, 30), "Still.")
    (held,) = world.marketplace.sharing.agreements(world.member)
    assert held.state(clock()) is AgreementState.ACTIVE
    assert [(one.before, one.after, one.why) for one in held.extensions] == [
        (date(2026, 12, 10), date(2027, 3, 31), "It helps."),
        (date(2027, 3, 31), date(2027, 6, 30), "Still."),
    ]
    for last_day, reads in ((date(2026, 12, 10), True), (date(2027, 6, 30), False)):
        clock.now = end_of_last_day(last_day)
        assert world.may_read() is reads
        if reads:
            next(running)
    with pytest.raises(InvalidSharing) as refused:
        world.marketplace.sharing.extend(world.owner, agreement.id, date(2028, 1, 1), "Late.")
    assert "has ended (expired)" in refused.value.detail
    assert "ask again: marketplace request mhclg.homes" in refused.value.next_step
    with pytest.raises(AccessEnded):
        deque(running, maxlen=0)


def test_an_extension_that_cannot_be_is_refused_and_changes_nothing(world: Country):
    agreement = world.share(last_day=date(2026, 12, 10))
    sharing = world.marketplace.sharing
    for last_day in (date(2026, 12, 10), date(2026, 12, 1), date(2999, 1, 1)):
        with pytest.raises(InvalidSharing, match="cannot be extended so"):
            sharing.extend(world.owner, agreement.id, last_day, "Longer.")
    with pytest.raises(InvalidSharing, match="has a reason"):
        sharing.extend(world.owner, agreement.id, date(2027, 1, 1), " ")
    with pytest.raises(AccessDenied):
        sharing.extend(world.member, agreement.id, date(2027, 1, 1), "Please.")
    for stranger in (world.outsider, world.principal("publisher")):
        with pytest.raises(UnknownRecord):
            sharing.extend(stranger, agreement.id, date(2027, 1, 1), "Not mine.")
    assert sharing.agreements(world.owner) == (agreement,)


def test_an_agreement_warns_30_7_and_1_days_before_its_end(world: Country, clock: Any):
    agreement = world.share(last_day=date(2027, 4, 10))
    warned = {}
    for days in (31, 30, 8, 7, 2, 1, 0):
        # Late in the evening, when it is the next day in London for half of the year already.
        clock.now = end_of_last_day(date(2027, 4, 10) - timedelta(days=days)) - timedelta(minutes=1)
        warned[days] = agreement.ends_within(clock())
    assert warned == {31: None, 30: 30, 8: 30, 7: 7, 2: 7, 1: 1, 0: 1}
    assert agreement.ends_within(agreement.ends_at) is None


# Handling and classification


def _publish(world: Country, **details: Any) -> None:
    file = world._folder / "again.csv"
    rows = len(world.marketplace.discovery.releases(world.publisher, HOMES))
    file.write_text(HOUSEHOLDS + f"E08000035,Leeds,900,{rows}\n")
    world.marketplace.publishing.publish(
        world.publisher,
        file,
        file.name,
        TableAddress.parse("mhclg.homes"),
        details=DatasetDetails(**details),
    )


def test_hmg_use_only_blocks_all_beyond_government_from_the_commit_on(
    world: Country, url: str, acting: Callable[[str], Client]
):
    world.share()
    world.marketplace.standing.offer(world.owner, HOMES, Audience.PUBLIC)
    member, owner = acting("member"), acting("owner")
    running = iter(world.deliver(ENDLESS))
    next(running)
    _publish(world, handling=Handling.HMG_USE_ONLY)
    with pytest.raises(AccessEnded):
        deque(running, maxlen=0)
    exits: tuple[Callable[[Client], object], ...] = (
        lambda client: client.dataset("mhclg.homes"),
        lambda client: client.releases("mhclg.homes"),
        lambda client: client.preview("mhclg.homes").to_arrow(),
        lambda client: client.query(COUNT).to_arrow(),
        lambda client: client.pull("mhclg.homes", world._folder / "pulled.parquet"),
        lambda client: client.why("mhclg.homes"),
    )
    for leave in exits:
        with pytest.raises(MarketplaceProblem) as refused:
            leave(member)
        assert refused.value.status == 404
        leave(owner)
    told = owner.why("mhclg.homes", person="member@sheffield.example", project="sheffield_squad")
    assert "marked HMG USE ONLY" in told.sentence
    assert member.search() == []
    assert [one.handling for one in owner.search()] == ["hmg_use_only"]

    _publish(world)
    assert not world.may_read(), "a release that says nothing of it leaves the marking"
    _publish(world, handling=Handling.NONE)
    assert world.may_read()


@pytest.mark.parametrize("classification", ["SECRET", "TOP_SECRET"])
def test_what_is_classified_higher_is_refused_at_the_door(
    world: Country, acting: Callable[[str], Client], classification: str
):
    file = world._folder / "secret.csv"
    file.write_text(HOUSEHOLDS)
    with pytest.raises(MarketplaceProblem) as refused:
        acting("publisher").publish(file, "mhclg.secrets", classification=classification)
    assert (refused.value.status, refused.value.title) == (422, "Classified too high")
    with pytest.raises(AboveOfficial):
        _publish(world, classification=Classification(classification))
    assert [str(one.address) for one in world.marketplace.discovery.search(world.owner)] == [
        "mhclg.homes"
    ]


# What is told apart


def test_the_first_rows_are_for_whoever_may_preview_and_within_what_was_agreed(
    world: Country, acting: Callable[[str], Client]
):
    world.share(columns=("area", "households"))
    table = acting("member").preview("mhclg.homes", rows=2).to_arrow()
    assert (table.num_rows, table.column_names) == (2, ["area", "households"])
    with pytest.raises(MarketplaceProblem) as refused:
        acting("outsider").preview("mhclg.homes")
    assert refused.value.status == 403
    with pytest.raises(MarketplaceProblem) as refused:
        acting("member").preview("mhclg.homes", rows=101)
    assert refused.value.status == 400
    decided = [one.facts["action"] for one in world.entries(EntryKind.READ_DECIDED)]
    assert decided == [Action.PREVIEW, Action.PREVIEW]


def test_an_agreement_to_look_at_the_first_rows_lets_nothing_else_out(world: Country):
    world.ask(actions=(Action.PREVIEW,))
    (request,) = world.marketplace.sharing.requests(world.owner)
    world.marketplace.sharing.approve(world.owner, request.id, Approval(reason="A look."))
    rows = world.marketplace.querying.preview(world.member, ("mhclg", "homes"), 1, ARROW)
    assert pa.ipc.open_stream(b"".join(rows)).read_all().num_rows == 1
    assert not world.may_read()


# The same over the wire


def test_offers_stops_roles_and_extensions_have_their_routes(
    world: Country, acting: Callable[[str], Client]
):
    world.operator()
    world.administrator()
    agreement = world.share(last_day=date(2026, 11, 25))
    owner, operator, member = acting("owner"), acting("operator"), acting("member")

    (held,) = member.agreements()
    assert held.ends_within_days == 7
    extended = owner.extend(agreement.id, date(2027, 1, 31), "It helps.")
    assert (extended.ends_within_days, len(extended.extensions)) == (None, 1)

    offer = owner.stewardship.offer(OfferForm(dataset="mhclg.homes", audience="public"))
    assert acting("outsider").query(COUNT).to_arrow().to_pylist() == [{"homes": 3}]
    assert [one.id for one in acting("outsider").stewardship.offers()] == [offer.id]
    assert not owner.stewardship.withdraw(offer.id, "No more.").in_force
    assert acting("outsider").stewardship.offers() == []

    form = StopForm(person="member@sheffield.example", reason="A lost laptop.")
    stop = operator.stewardship.stop(form)
    assert (stop.person, stop.made_by, stop.dataset) == ("member", "operator", "*")
    with pytest.raises(MarketplaceProblem):
        member.query(COUNT)
    assert "A lost laptop." in member.why("mhclg.homes").sentence
    assert operator.stewardship.resume(stop.id, "Found.").ended_at is not None
    assert [one.end_reason for one in operator.stewardship.stops()] == ["Found."]
    assert member.query(COUNT).to_arrow().num_rows == 1

    administrator = acting("administrator").stewardship
    administrator.register("Dana", "dana@mhclg.example")
    post = administrator.appoint(
        AppointmentForm(
            email="dana@mhclg.example",
            role="deputy",
            last_day=date(2026, 12, 24),
            in_place_of="owner@mhclg.example",
        )
    )
    assert (post.name, post.in_place_of) == ("Dana", "owner")
    assert administrator.dismiss(post.id).last_day == date(2026, 11, 21)
    with pytest.raises(MarketplaceProblem) as refused:
        administrator.appoint(AppointmentForm(email="dana@mhclg.example", role="king"))
    assert refused.value.status == 400


def test_an_organisation_lies_where_there_is_a_place(world: Country):
    administration = world.marketplace.administration
    entered = Organisation(
        name="leeds", title="Leeds", audience=Audience.LOCAL_GOVERNMENT, place="E08009999"
    )
    with pytest.raises(UnknownPlace):
        administration.register_organisations([entered], by=BY)


@pytest.fixture(autouse=True)
def nothing_left_behind(world: Country) -> Iterator[None]:
    """Every test ends with an audit log that verifies."""
    yield
    assert not world.marketplace.audit.fault
