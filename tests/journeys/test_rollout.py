"""The rollout: two people move it, what it does is told before, and the next read is decided by it."""

import csv
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from access_policies import revision
from access_policies.vocabulary import Action, Audience, Role
from catalogue.address import DatasetAddress
from catalogue.dataset import Handling
from catalogue.errors import InvalidAddress, UnknownDataset
from marketplace import enforcement
from marketplace.audit.entries import EntryKind, RecordedEntry, latest
from marketplace.audit.verification import Verification, record_failure
from marketplace.cli import main
from marketplace.client import Client
from marketplace.client.errors import MarketplaceProblem
from marketplace.clock import end_of_last_day
from marketplace.errors import AccessDenied, InvalidMove, MoveOutdated, UnknownRecord
from marketplace.identity.organisations import Organisation
from marketplace.identity.projects import Project
from marketplace.rollout.proposals import Proposal, State, Target
from marketplace.rollout.rollout import LASTING
from marketplace.sharing.stops import Party
from marketplace.wire import MoveTarget, ProposalForm, UndoForm

from .conftest import BY, LAST_DAY, Acts, World

HOMES = DatasetAddress("mhclg", "homes")
COUNT = "SELECT count(*) AS homes FROM mhclg.homes"
RESEARCHERS = Target(scope="*", stage=Audience.RESEARCHER)
WHY = "It is time"
AGAINST = "The criteria are for the whole country"
INSTANT = timedelta(microseconds=1)


def open_to_researchers(world: World) -> None:
    """Enter two universities, and publish open data for researchers, before their stage."""
    administration = world.marketplace.administration
    for name in ("leeds_university", "york_university"):
        university = Organisation(name=name, title=name, audience=Audience.RESEARCHER)
        administration.register_organisations([university], by=BY)
        administration.register_project(
            Project(
                name=f"{name}_study",
                title="A study",
                purpose="Whether families stay housed",
                organisation=name,
                audience=Audience.RESEARCHER,
                accredited_until=date(2027, 12, 31),
            ),
            by=BY,
        )
        administration.accredit(f"{name}_study", until=LAST_DAY, by=BY)
        world._employ(name, name, project=f"{name}_study")
    world.publish(visible_to=Audience.RESEARCHER)
    world.marketplace.standing.offer(world.owner, HOMES, Audience.RESEARCHER)


@pytest.fixture(scope="module")
def acts() -> Acts:
    return open_to_researchers


@pytest.fixture
def country(world: World) -> World:
    """The small country with two universities, open data for researchers, and the stage before them."""
    return world


def propose(world: World, target: Target, *, by: str = "operator") -> Proposal:
    return world.marketplace.rollout.propose(
        world.principal(by), target, reason=WHY, override=AGAINST
    )


def confirm(world: World, proposal: Proposal, *, by: str = "colleague") -> Proposal:
    return world.marketplace.rollout.confirm(world.principal(by), proposal.id, reason=WHY)


def undo(world: World, scope: str = "*") -> Proposal:
    return world.marketplace.rollout.undo(
        world.principal("operator"), scope, reason="Not yet", override=AGAINST
    )


def reads(world: World, who: str) -> bool:
    """Whether a person's query works; where it does not, the dataset is not even there for them."""
    try:
        return world.query(COUNT, by=who) == [{"homes": 3}]
    except UnknownDataset:
        return False


def entries(world: World, kind: EntryKind) -> tuple[RecordedEntry, ...]:
    with world.marketplace.database.reading() as connection:
        return latest(connection, kinds=[kind])


def moves(world: World) -> dict[object, RecordedEntry]:
    """The entries of proposals that were made, by the stage that they opened."""
    found = entries(world, EntryKind.STAGE_MOVED)
    return {one.facts["opened"]: one for one in found if "proposal" in one.facts}


def test_what_two_people_open_is_open_at_once_and_one_person_undoes_it(country: World):
    assert not reads(country, "leeds_university")
    proposal = propose(country, RESEARCHERS)
    assert not reads(country, "leeds_university")
    made = confirm(country, proposal)
    assert made.outcome is not None
    assert reads(country, "leeds_university")
    undone = undo(country)
    assert undone.state(country.marketplace.clock()) is State.MADE
    assert undone.undoes == made.outcome.revision
    assert not reads(country, "leeds_university")


def test_who_proposed_a_move_does_not_confirm_it_with_any_token(country: World, clock):
    proposal = propose(country, RESEARCHERS)
    with pytest.raises(AccessDenied, match="two people"):
        confirm(country, proposal, by="operator")
    secret, _ = country.marketplace.administration.issue_token(
        email="operator@mhclg.example",
        role=Role.OPERATOR,
        expires_at=clock() + timedelta(days=30),
        by=BY,
    )
    again = country.marketplace.callers.authenticate(secret)
    with pytest.raises(AccessDenied, match="two people"):
        country.marketplace.rollout.confirm(again, proposal.id, reason=WHY)
    assert not reads(country, "leeds_university")
    assert len(entries(country, EntryKind.ROLLOUT_REFUSED)) == 2


def _revoke(world: World) -> None:
    operator = world.principal("operator")
    world.marketplace.administration.revoke_token(operator.token_id, by=BY)


def _deny(world: World) -> None:
    operator = world.principal("operator").person_id
    world.marketplace.standing.stop(
        world.principal("colleague"), party=Party(person=operator), reason="Left in a hurry"
    )


@pytest.mark.parametrize("end", [_revoke, _deny])
def test_a_proposal_falls_with_its_proposers_role(country: World, end: Callable[[World], None]):
    proposal = propose(country, RESEARCHERS)
    end(country)
    with pytest.raises(AccessDenied, match="no operator of the marketplace any more"):
        confirm(country, proposal)


@pytest.mark.parametrize("who", ["owner", "publisher", "member", "auditor"])
def test_only_operators_move_the_rollout(country: World, who: str):
    proposal = propose(country, RESEARCHERS)
    caller = country.principal(who)
    rollout = country.marketplace.rollout
    attempts: tuple[Callable[[], object], ...] = (
        lambda: propose(country, RESEARCHERS, by=who),
        lambda: confirm(country, proposal, by=who),
        lambda: rollout.withdraw(caller, proposal.id, reason=WHY),
        lambda: rollout.undo(caller, "*", reason=WHY),
        lambda: rollout.invite(caller, "*", "organisation:acme", reason=WHY),
    )
    for attempt in attempts:
        with pytest.raises(AccessDenied):
            attempt()
    seen: tuple[Callable[[], object], ...] = (
        lambda: rollout.situation(caller),
        lambda: rollout.history(caller),
        lambda: rollout.preview(caller, RESEARCHERS),
    )
    for look in seen:
        if who == "auditor":
            look()
        else:
            with pytest.raises(AccessDenied):
                look()


def test_undoing_a_closing_takes_two(country: World):
    country.move(RESEARCHERS)
    country.move(Target(scope="*", stage=Audience.GOVERNMENT))
    assert not reads(country, "leeds_university")
    waiting = undo(country)
    assert waiting.state(country.marketplace.clock()) is State.OPEN
    assert not reads(country, "leeds_university")
    confirm(country, waiting)
    assert reads(country, "leeds_university")


def test_a_scheduled_move_holds_from_its_second_and_bounds_every_answer_before(
    country: World, clock
):
    country.move(RESEARCHERS)
    begins = clock().replace(microsecond=0) + timedelta(hours=1)
    country.move(Target(scope="*", stage=Audience.LOCAL_GOVERNMENT, begins=begins))
    assert reads(country, "leeds_university")
    marketplace = country.marketplace
    with marketplace.database.writing() as connection:
        decision = enforcement.decide(
            connection,
            marketplace.decision_point,
            country.principal("leeds_university"),
            Action.QUERY,
            str(HOMES),
            now=clock(),
        )
    assert (decision.allowed, decision.until) == (True, begins)
    clock.now = begins - INSTANT
    assert reads(country, "leeds_university")
    clock.now = begins
    assert not reads(country, "leeds_university")


def test_a_scheduled_opening_is_cancelled_by_one_and_a_scheduled_closing_by_two(
    country: World, clock
):
    later = clock().replace(microsecond=0) + timedelta(hours=1)
    country.move(Target(scope="*", stage=Audience.RESEARCHER, begins=later))
    assert undo(country).state(clock()) is State.MADE
    country.move(Target(scope="*", stage=Audience.GOVERNMENT, begins=later))
    waiting = undo(country)
    assert waiting.state(clock()) is State.OPEN
    clock.now = later
    assert not reads(country, "leeds_university")
    situation = country.marketplace.rollout.situation(country.principal("auditor"))
    assert situation.standings[0].reach.stage is Audience.GOVERNMENT


def test_only_the_invited_read_in_the_highest_stage_and_all_do_before_it(country: World):
    country.share()
    invited = Target(
        scope="*",
        stage=Audience.RESEARCHER,
        by_invitation=True,
        places=1,
        invited=("organisation:leeds_university",),
    )
    country.move(invited)
    assert reads(country, "leeds_university")
    assert not reads(country, "york_university")
    assert reads(country, "member")


def test_places_are_taken_by_name_until_they_are_full_and_a_wave_adds_more(country: World):
    rollout, operator = country.marketplace.rollout, country.principal("operator")
    first = Target(scope="*", stage=Audience.RESEARCHER, by_invitation=True, places=1)
    country.move(first)
    rollout.invite(operator, "*", "project:york_university_study", reason=WHY)
    assert reads(country, "york_university")
    with pytest.raises(InvalidMove, match="Every place is taken"):
        rollout.invite(operator, "*", "organisation:leeds_university", reason=WHY)
    country.move(first)
    rollout.invite(operator, "*", "organisation:leeds_university", reason=WHY)
    assert reads(country, "leeds_university")
    assert reads(country, "york_university")
    undo(country)
    assert not reads(country, "leeds_university")
    assert reads(country, "york_university")
    (standing, *_) = rollout.situation(operator).standings
    assert [wave.free for wave in standing.waves] == [0]


def test_a_place_that_is_taken_back_closes_at_once_and_is_free_for_another(country: World):
    rollout, operator = country.marketplace.rollout, country.principal("operator")
    country.move(Target(scope="*", stage=Audience.RESEARCHER, by_invitation=True, places=1))
    rollout.invite(operator, "*", "organisation:leeds_university", reason=WHY)
    with country.marketplace.database.reading() as connection:
        invited = revision.read(connection)
    assert reads(country, "leeds_university")
    for caller, error in ((country.principal("owner"), AccessDenied), (operator, InvalidMove)):
        with pytest.raises(error):
            rollout.uninvite(caller, "*", "organisation:acme", reason=WHY)
    rollout.uninvite(operator, "*", "organisation:leeds_university", reason="The wrong one")
    assert not reads(country, "leeds_university")
    rollout.invite(operator, "*", "organisation:york_university", reason=WHY)
    assert reads(country, "york_university")
    auditor = country.principal("auditor")
    changes = country.marketplace.oversight.changes(auditor, str(invited)).found
    told = {(one.turn.name, person.name) for one in changes for person in one.people}
    assert told == {("LOST", "leeds_university"), ("GAINED", "york_university")}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("organisation:nobody", "no organisation 'nobody'"),
        ("organisation:acme", "is of businesses"),
        ("organisation:sheffield", "is of local government"),
        ("person:ada", "There is no organisation"),
        ("project:' OR 1=1 --", "There is no project"),
        ("", "There is no organisation"),
    ],
)
def test_only_a_party_of_the_stage_is_invited(country: World, name: str, told: str):
    country.move(Target(scope="*", stage=Audience.RESEARCHER, by_invitation=True, places=3))
    with pytest.raises(InvalidMove, match=told):
        country.marketplace.rollout.invite(country.principal("operator"), "*", name, reason=WHY)


def test_a_dataset_is_closed_further_than_the_marketplace(country: World):
    country.move(RESEARCHERS)
    country.move(Target(scope="mhclg.homes", stage=Audience.LOCAL_GOVERNMENT))
    assert not reads(country, "leeds_university")
    country.move(
        Target(
            scope="mhclg.homes",
            stage=Audience.RESEARCHER,
            by_invitation=True,
            places=1,
            invited=("organisation:york_university",),
        )
    )
    assert reads(country, "york_university")
    assert not reads(country, "leeds_university")


def test_a_preview_tells_who_reads_what_and_by_which_rule(country: World):
    country.publish(address="mhclg.streets", visible_to=Audience.RESEARCHER)
    plan = country.marketplace.rollout.preview(country.principal("auditor"), RESEARCHERS)
    told = {
        (pair.dataset, pair.party.name, pair.readable, pair.grant.partition(":")[0])
        for pair in plan.effect.pairs()
    }
    parties = (
        "researcher",
        "leeds_university",
        "york_university",
        "leeds_university_study",
        "york_university_study",
    )
    assert told == {
        pair
        for party in parties
        for pair in (
            ("mhclg.homes", party, True, "offer"),
            ("mhclg.streets", party, False, "listing"),
        )
    }
    assert (plan.effect.counts.readable, plan.effect.counts.askable) == (5, 5)


def test_a_preview_counts_nobody_whom_accreditation_or_handling_keeps_out(country: World, clock):
    country.publish(
        address="mhclg.streets", visible_to=Audience.RESEARCHER, handling=Handling.HMG_USE_ONLY
    )
    country.marketplace.administration.accredit("york_university_study", until=None, by=BY)
    plan = country.marketplace.rollout.preview(country.principal("auditor"), RESEARCHERS)
    assert {(pair.dataset, pair.party.name) for pair in plan.effect.pairs()} == {
        ("mhclg.homes", party)
        for party in ("researcher", "leeds_university", "york_university", "leeds_university_study")
    }
    country.move(RESEARCHERS)
    assert reads(country, "leeds_university")
    assert not reads(country, "york_university")
    clock.now = end_of_last_day(LAST_DAY)
    assert not reads(country, "leeds_university")


def test_a_confirmation_says_what_is_different_by_now(country: World):
    rollout, colleague = country.marketplace.rollout, country.principal("colleague")
    proposal = propose(country, RESEARCHERS)
    country.publish(address="mhclg.streets", visible_to=Audience.RESEARCHER)
    with pytest.raises(MoveOutdated) as outdated:
        confirm(country, proposal)
    assert "Proposed: 5 pairs of dataset and party become readable." in outdated.value.lines
    assert any(
        "By now: 5 pairs of dataset and party become findable" in line
        for line in outdated.value.lines
    )
    present = rollout.preview(colleague, RESEARCHERS).effect.foreseen.fingerprint
    assert present in outdated.value.next_step
    with pytest.raises(MoveOutdated):
        rollout.confirm(colleague, proposal.id, reason=WHY, foreseen="0" * 12)
    rollout.confirm(colleague, proposal.id, reason=WHY, foreseen=present)
    assert reads(country, "leeds_university")


def test_a_proposal_rests_on_the_stage_that_it_was_made_for(country: World):
    first, second = propose(country, RESEARCHERS), propose(country, RESEARCHERS)
    confirm(country, first)
    undo(country)
    with pytest.raises(MoveOutdated, match="was moved since"):
        confirm(country, second)


def test_a_proposal_ends_once(country: World, clock):
    rollout, colleague = country.marketplace.rollout, country.principal("colleague")
    made = propose(country, RESEARCHERS)
    confirm(country, made)
    with pytest.raises(InvalidMove, match="is made"):
        confirm(country, made)
    undo(country)
    withdrawn, expired = propose(country, RESEARCHERS), propose(country, RESEARCHERS)
    rollout.withdraw(colleague, withdrawn.id, reason="Not yet")
    with pytest.raises(InvalidMove, match="is withdrawn"):
        confirm(country, withdrawn)
    clock.advance(LASTING)
    with pytest.raises(InvalidMove, match="is expired"):
        confirm(country, expired)
    for identifier in ("", "a" * 32, "' OR 1=1 --", "\0", "\ud800"):
        with pytest.raises(UnknownRecord):
            rollout.confirm(colleague, identifier, reason=WHY)


def test_a_moment_that_has_passed_is_not_confirmed(country: World, clock):
    begins = clock().replace(microsecond=0) + timedelta(hours=1)
    proposal = propose(country, Target(scope="*", stage=Audience.RESEARCHER, begins=begins))
    clock.now = begins
    with pytest.raises(MoveOutdated, match="has passed"):
        confirm(country, proposal)


def test_opening_against_exit_criteria_needs_a_reason_of_its_own_that_is_logged(country: World):
    rollout, operator = country.marketplace.rollout, country.principal("operator")
    with pytest.raises(InvalidMove) as refused:
        rollout.propose(operator, RESEARCHERS, reason=WHY)
    assert any("30 are asked for" in line for line in refused.value.lines)
    assert not any("owner" in line for line in refused.value.lines)
    country.move(RESEARCHERS)
    moved = moves(country)["researcher"]
    assert moved.facts["overrides"] is True
    assert moved.person["override"] == "A test of moves"
    closing = rollout.propose(
        operator, Target(scope="*", stage=Audience.LOCAL_GOVERNMENT), reason=WHY
    )
    assert closing.override == ""


def test_the_exit_criteria_are_met_by_what_is_recorded(country: World, clock):
    rollout = country.marketplace.rollout
    principals = {name: country.principal(name) for name in ("operator", "auditor")}

    def figures() -> dict[str, tuple[float | None, bool]]:
        found = rollout.situation(principals["auditor"]).criteria
        return {one.criterion.value: (one.figure, one.met) for one in found}

    assert figures() == {
        "days_without_incident": (0, False),
        "datasets_without_owner": (0, True),
        "median_days_to_decide": (None, False),
        "damaged_rules": (0, True),
    }
    country.share()
    clock.advance(timedelta(days=30))
    assert figures()["days_without_incident"] == (30, True)
    assert figures()["median_days_to_decide"] == (0, True)
    database = country.marketplace.database
    found = Verification(ok=False, size=1, pending=0, findings=("An entry was changed.",))
    record_failure(database, found, by=BY, now=clock())
    clock.advance(timedelta(days=2))
    assert figures()["days_without_incident"] == (2, False)
    country.marketplace.standing.stop(principals["operator"], dataset=str(HOMES), reason="A leak")
    assert figures()["days_without_incident"] == (0, False)
    administration = country.marketplace.administration
    [owning] = [one for one in administration.appointments() if one.role is Role.OWNER]
    administration.end_appointment(owning.id, last_day=clock().date() - timedelta(days=1), by=BY)
    assert figures()["datasets_without_owner"] == (1, False)


def test_what_makes_no_move_is_refused_with_every_finding(country: World, clock):
    operator = country.principal("operator")
    impossible = Target(
        scope="mhclg.nothing",
        stage=Audience.GOVERNMENT,
        by_invitation=True,
        invited=("organisation:acme", "organisation:acme"),
        begins=clock() - timedelta(days=1, microseconds=5),
    )
    with pytest.raises(InvalidMove) as refused:
        country.marketplace.rollout.preview(operator, impossible)
    assert len(refused.value.lines) >= 7
    with pytest.raises(InvalidMove) as same:
        propose(country, Target(scope="*", stage=Audience.LOCAL_GOVERNMENT))
    assert same.value.lines == ("It is open so already.",)
    for reason in ("", "   ", "x" * 2001, "a\0b"):
        with pytest.raises(InvalidMove):
            country.marketplace.rollout.propose(operator, RESEARCHERS, reason=reason)
    with pytest.raises(InvalidMove, match="never moved"):
        undo(country, "mhclg.homes")


def test_the_history_is_added_to_and_tells_who_why_and_what_was_undone(
    country: World, acting: Callable[[str], Client], clock
):
    country.move(RESEARCHERS)
    clock.advance(timedelta(seconds=1))
    undo(country)
    undone, opened = acting("auditor").rollout.history()
    assert (opened.proposed_by, opened.ended_by) == ("operator", "colleague")
    assert (opened.reason, opened.override) == (WHY, "A test of moves")
    assert opened.undone_by == undone.id
    assert (undone.proposed_by, undone.ended_by) == ("operator", "operator")
    assert opened.revision is not None
    assert undone.revision == opened.revision + 1


def test_every_pair_is_had_as_a_file_in_every_format(
    country: World, acting: Callable[[str], Client], tmp_path: Path
):
    country.publish(address="mhclg.streets", visible_to=Audience.RESEARCHER)
    rollout = acting("operator").rollout
    target = MoveTarget(stage="researcher")
    files = {
        ending: rollout.pairs(target, tmp_path / f"pairs.{ending}").read_bytes()
        for ending in ("arrow", "parquet", "csv", "json", "jsonl")
    }
    rows = pa.ipc.open_file(files["arrow"]).read_all().to_pylist()
    assert len(rows) == 10
    assert rows[0] == {
        "dataset": "mhclg.homes",
        "kind": "organisation",
        "party": "leeds_university",
        "audience": "researcher",
        "change": "opens",
        "access": "readable",
        "rule": rows[0]["rule"],
        "grant": rows[0]["grant"],
    }
    assert parquet.read_table(io.BytesIO(files["parquet"])).to_pylist() == rows
    assert list(csv.DictReader(io.StringIO(files["csv"].decode()))) == rows
    assert json.loads(files["json"]) == rows
    assert [json.loads(line) for line in files["jsonl"].splitlines()] == rows
    counts = rollout.preview(target).counts
    assert counts.readable + counts.askable == len(rows)
    nothing = MoveTarget(stage="government", scope="mhclg.streets")
    country.move(Target(scope="*", stage=Audience.GOVERNMENT))
    assert json.loads(rollout.pairs(nothing, tmp_path / "none.json").read_text()) == []


def test_the_service_refuses_as_the_use_case_does(country: World, acting: Callable[[str], Client]):
    rollout = acting("operator").rollout
    with pytest.raises(MarketplaceProblem) as refused:
        rollout.propose(ProposalForm(target=MoveTarget(stage="researcher"), reason=WHY))
    assert (refused.value.status, len(refused.value.lines)) == (422, 2)
    with pytest.raises(MarketplaceProblem) as refused:
        rollout.preview(MoveTarget(stage="everybody"))
    assert refused.value.status == 400
    with pytest.raises(MarketplaceProblem) as refused:
        rollout.undo(UndoForm(scope="mhclg.homes", reason=WHY))
    assert refused.value.status == 422


@pytest.mark.parametrize("scope", ["a.b\0", "' OR 1=1 --", "", "mhclg", "mhclg.*", "\ud800.x"])
def test_a_scope_is_the_marketplace_or_a_dataset(country: World, scope: str):
    rollout, operator = country.marketplace.rollout, country.principal("operator")
    target = Target(scope=scope, stage=Audience.RESEARCHER)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: rollout.preview(operator, target),
        lambda: rollout.propose(operator, target, reason=WHY),
        lambda: rollout.undo(operator, scope, reason=WHY),
        lambda: rollout.invite(operator, scope, "organisation:acme", reason=WHY),
    )
    for attempt in attempts:
        with pytest.raises(InvalidAddress):
            attempt()


@pytest.fixture
def run(
    country: World, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command as a person, and return its exit code and all that it said."""

    def command(who: str, *words: str) -> tuple[int, str]:
        monkeypatch.setenv("MARKETPLACE_URL", url)
        monkeypatch.setenv("MARKETPLACE_TOKEN", country.secret(who))
        code = main(["rollout", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


def test_two_operators_open_it_on_the_command_line(
    country: World, run: Callable[..., tuple[int, str]], tmp_path: Path
):
    code, told = run("operator")
    assert code == 0
    assert "● government → ● local government → ○ researcher" in told
    assert "✘ No request was decided yet" in told

    code, told = run("operator", "preview", "researcher")
    assert code == 0
    assert "5 pairs of dataset and party become readable." in told
    assert "leeds_university can read 1 more of the datasets." in told

    code, told = run("operator", "propose", "researcher", "--places", "2", "--reason", WHY)
    assert code == 2
    assert "--override" in told
    code, told = run(
        "operator", "propose", "researcher", "--places", "2", "--reason", WHY, "--override", AGAINST,
        "--json",
    )  # fmt: skip
    assert code == 0
    identifier = json.loads(told)["id"][:10]

    code, told = run("operator", "confirm", identifier, "--reason", WHY)
    assert code == 4
    assert "two people" in told
    code, told = run("colleague", "confirm", identifier, "--reason", "Agreed")
    assert code == 0

    code, told = run("operator", "invite", "organisation:leeds_university", "--reason", WHY)
    assert code == 0
    assert "◐ researcher" in told
    assert "1 of 2 places free" in told
    assert reads(country, "leeds_university")
    for code_then in (0, 2):
        code, told = run("operator", "uninvite", "organisation:leeds_university", "--reason", WHY)
        assert code == code_then
    assert not reads(country, "leeds_university")
    code, _ = run("operator", "invite", "organisation:leeds_university", "--reason", WHY)
    assert code == 0

    code, told = run("operator", "wave", "4", "--reason", "The second wave")
    assert code == 0
    assert "Another operator confirms it" in told

    code, told = run("operator", "preview", "business", "--output", str(tmp_path / "pairs.csv"))
    assert code == 0
    assert (tmp_path / "pairs.csv").exists()

    code, told = run("operator", "undo", "--reason", "Not yet")
    assert code == 0
    assert not reads(country, "leeds_university")

    code, told = run("auditor", "history")
    assert code == 0
    assert "undone" in told


def test_the_audit_log_holds_who_did_what(country: World):
    country.move(RESEARCHERS)
    undo(country)
    opened, undone = moves(country)["researcher"], moves(country)["local_government"]
    assert opened.facts["effect"] == {
        "readable": 5,
        "askable": 0,
        "no_longer_readable": 0,
        "no_longer_askable": 0,
    }
    assert (opened.facts["before"], opened.facts["opened"]) == ("local_government", "researcher")
    assert opened.person["proposed_by"] == country.principal("operator").person_id
    assert opened.person["person"] == country.principal("colleague").person_id
    assert undone.facts["undoes"] == opened.facts["revision"]
