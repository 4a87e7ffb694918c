"""A policy file applied: what may be, as its caller may, all of it or nothing."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text as sql_text

from access_policies import policy_text, revision
from access_policies.errors import InvalidRule
from access_policies.rules import Rule
from access_policies.scope import RowsInPlaces
from access_policies.vocabulary import Audience, Role
from catalogue.address import DatasetAddress
from catalogue.errors import UnknownDataset
from marketplace.audit.entries import EntryKind, latest
from marketplace.cli import main
from marketplace.client import Client, MarketplaceProblem
from marketplace.errors import AccessDenied, InvalidSharing, PolicyOutdated
from marketplace.identity.principal import Principal
from marketplace.sharing.agreements import AgreementState
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.policy_files import Applied
from marketplace.sharing.vocabulary import DataType, Power

from .conftest import BY, LAST_DAY, Acts, World, publish_and_share

WHY = "Agreed at the quarterly review."
HOMES = DatasetAddress("mhclg", "homes")
COUNT = "SELECT count(*) AS homes FROM mhclg.homes"
COLUMNS = """\
columns = [
    "area_code",
    "area",
    "households",
    "children",
]
"""
OFFER = """
[[grant]]
grant = "offer:"
subject = "audience:public"
dataset = "mhclg.homes"
actions = ["dataset:discover", "dataset:read_metadata", "dataset:read_schema",
    "dataset:preview", "dataset:query", "dataset:download"]
ends = 2026-12-31T00:00:00Z
obligations = [{ type = "restrict_to", tables = [{ table = "homes", columns = ["*"], rows = { type = "all_rows" } }] },
    { type = "limit_output", tier = "rows" }]
"""
STOP = """
[[grant]]
grant = "denial:"
effect = "deny"
subject = "project:manchester_squad"
dataset = "mhclg.homes"
actions = ["dataset:preview", "dataset:query", "dataset:download"]
"""


class Reviewed(World):
    """The small country, where policy is reviewed as text."""

    def export(self, by: str = "owner", organisation: str = "mhclg") -> str:
        return self.marketplace.policy.export(self.principal(by), organisation)

    def apply(self, text: str, by: str = "owner", *, dry_run: bool = False) -> Applied:
        return self.marketplace.policy.apply(self.principal(by), text, WHY, dry_run=dry_run)

    def revision(self) -> int:
        with self.marketplace.database.reading() as connection:
            return revision.read(connection)

    def logged(self, *kinds: EntryKind) -> list[EntryKind]:
        """The entries of these kinds."""
        with self.marketplace.database.reading() as connection:
            return sorted(entry.kind for entry in latest(connection, kinds=kinds))

    def administrator(self) -> Principal:
        administration = self.marketplace.administration
        email = "administrator@mhclg.example"
        administration.register_person(
            name="administrator", email=email, organisation="mhclg", by=BY
        )
        self._secrets["administrator"], _ = administration.issue_token(
            email=email,
            role=Role.ADMINISTRATOR,
            organisation="mhclg",
            expires_at=self.marketplace.clock() + timedelta(days=365),
            by=BY,
        )
        return self.principal("administrator")

    def damage(self, action: str) -> str:
        """Damage a rule of the agreement, as nobody's hand should; returns its identifier."""
        with self.marketplace.database.writing() as connection:
            found = sql_text("SELECT id FROM policy_rules WHERE id LIKE :like")
            rule = connection.execute(found, {"like": f"agreement:%/{action}"}).scalar_one()
            damaged = sql_text("UPDATE policy_rules SET obligations = 'gone' WHERE id = :id")
            connection.execute(damaged, {"id": rule})
            revision.advance(connection)
        return str(rule)


@pytest.fixture
def acts() -> Acts:
    return publish_and_share


@pytest.fixture
def world(marketplace: Any, entered: dict[str, str], tmp_path: Path) -> Reviewed:
    """Homes, published, with an agreement for the Sheffield squad."""
    return Reviewed(marketplace, tmp_path, entered)


def said(text: str) -> set[Rule]:
    """What a file says, but for what the marketplace itself gives: names, and when it began."""
    return {
        msgspec.structs.replace(rule, id="", nbf=0, grant=rule.kind)
        for rule in policy_text.read(text).rules()
    }


def without(text: str, kind: str) -> str:
    """The file without the grants of a kind."""
    first, *grants = text.split("[[grant]]\n")
    return "[[grant]]\n".join([first, *(one for one in grants if f'grant = "{kind}:' not in one)])


def within(text: str, kind: str, before: str, after: str) -> str:
    """The file with something else in the grants of a kind."""
    first, *grants = text.split("[[grant]]\n")
    assert any(f'grant = "{kind}:' in one and before in one for one in grants), (kind, before)
    changed = (one.replace(before, after) if f'grant = "{kind}:' in one else one for one in grants)
    return "[[grant]]\n".join([first, *changed])


def test_a_file_as_it_was_written_changes_nothing(world: Reviewed) -> None:
    text, before = world.export(), world.revision()
    applied = world.apply(text)
    assert (applied.differences, applied.revision, world.revision()) == ((), before, before)
    assert world.logged(EntryKind.POLICY_APPLIED) == []


Edit = Callable[[str], str]

EDITS: dict[str, Edit] = {
    "a shorter agreement": lambda text: within(
        text, "agreement", "2027-01-01 00:00", "2026-12-25 00:00"
    ),
    "a longer one": lambda text: within(text, "agreement", "2026-12-25 00:00", "2027-04-30 23:00"),
    "no more downloads": lambda text: within(text, "agreement", '    "dataset:download",\n', ""),
    "fewer columns and rows, for a shorter time": lambda text: within(
        within(
            within(text, "agreement", COLUMNS, 'columns = ["area_code", "households"]\n'),
            "agreement",
            'type = "all_rows"',
            'type = "rows_in_places"\nplaces = ["E08000039", "E08000003"]',
        ),
        "agreement",
        "2027-04-30 23:00",
        "2027-03-31 23:00",
    ),
    "a limit on a result": lambda text: within(
        text,
        "agreement",
        'tier = "rows"\n',
        'tier = "rows"\n\n[[grant.obligations]]\ntype = "limit_result"\nrows = 2\n',
    ),
    "an offer": lambda text: text + OFFER.replace('["*"]', '["area_code", "area"]'),
    "the offer for longer and to fewer": lambda text: within(
        within(text, "offer", "2026-12-31 00:00", "2027-01-31 00:00"), "offer", "public", "business"
    ),
    "a stop": lambda text: text + STOP,
    "another instead, of an audience": lambda text: (
        without(text, "denial")
        + STOP.replace("project:manchester_squad", "only:business")
        + STOP.replace("project:manchester_squad", "only:public")
    ),
    "no stop and no offer": lambda text: without(without(text, "denial"), "offer"),
    "no agreement": lambda text: without(text, "agreement"),
}


def test_what_is_written_out_edited_and_applied_is_written_out_as_the_edit(
    world: Reviewed,
) -> None:
    for name, edit in EDITS.items():
        edited, before = edit(world.export()), world.revision()
        tried = world.apply(edited, dry_run=True)
        assert (world.revision(), tried.dry_run) == (before, True), name
        applied = world.apply(edited)
        assert applied.differences == tried.differences != (), name
        assert applied.revision == world.revision() == before + 1, name
        assert said(world.export()) == said(edited), name
    [agreement] = world.marketplace.sharing.agreements(world.owner)
    assert agreement.state(world.marketplace.clock()) is AgreementState.REVOKED
    assert (agreement.end_reason, len(agreement.extensions)) == (WHY, 5)


def test_what_is_narrowed_by_a_file_is_what_the_next_query_gets(world: Reviewed) -> None:
    before, before_rows = world.export(), world.query("SELECT * FROM mhclg.homes")
    assert len(before_rows) == 3
    narrower = within(before, "agreement", COLUMNS, 'columns = ["area", "households"]\n')
    rows = 'type = "rows_in_places"\nplaces = ["Sheffield"]'
    world.apply(within(narrower, "agreement", 'type = "all_rows"', rows))
    assert world.query("SELECT * FROM mhclg.homes") == [{"area": "Sheffield", "households": 614}]
    [agreement] = world.marketplace.sharing.agreements(world.member)
    assert agreement.terms.scope[0].rows == RowsInPlaces(("E08000039",))
    assert agreement.extensions[0].why == WHY
    narrow = world.export()
    wider = {
        'The column "households" of homes was not agreed': ('"area"', '"area", "households"'),
        "The rows of homes go beyond those agreed": ('"E08000039"', '"E08000039", "E08000003"'),
    }
    narrower = within(narrow, "agreement", '    "households",\n', "")
    world.apply(narrower)
    narrower = world.export()
    for sentence, (had, has) in wider.items():
        with pytest.raises(InvalidSharing) as refused:
            world.apply(within(narrower, "agreement", had, has))
        assert sentence in refused.value.lines[0]


def test_an_agreement_with_named_people_is_narrowed_to_fewer_and_never_to_the_whole_project(
    world: Reviewed,
) -> None:
    administration = world.marketplace.administration
    for name in ("ada", "ben"):
        email = f"{name}@sheffield.example"
        administration.register_person(name=name, email=email, organisation="sheffield", by=BY)
        administration.add_member(
            project="sheffield_squad",
            email=email,
            first_day=date(2026, 1, 1),
            last_day=None,
            by=BY,
        )
    draft = RequestDraft(
        dataset=HOMES,
        last_day=LAST_DAY,
        data_type=DataType.NONE,
        aims="Fewer families in bed and breakfast",
        power=Power.LEGISLATION,
        power_named="Housing Act 1996, section 208",
        named_people=("ada@sheffield.example", "member@sheffield.example"),
    )
    sharing = world.marketplace.sharing
    agreed = sharing.approve(
        world.owner, sharing.ask(world.member, draft).id, Approval(reason="It is enough.")
    )
    ada, member = agreed.terms.people
    written = world.export()
    grants = written.split("[[grant]]\n")
    [of_ada] = [one for one in grants if f"sheffield_squad/{ada}" in one]
    world.apply(written.replace(f"[[grant]]\n{of_ada}", ""))
    [agreement] = [one for one in sharing.agreements(world.owner) if one.id == agreed.id]
    assert agreement.terms.people == (member,)
    assert len(world.query(COUNT)) == 1
    narrow = world.export()
    for subject in (f"member:sheffield_squad/{ada}", "project:sheffield_squad"):
        wider = narrow.replace(f'"member:sheffield_squad/{member}"', f'"{subject}"')
        assert wider != narrow
        with pytest.raises(InvalidSharing) as refused:
            world.apply(wider)
        assert "people who were not agreed on" in refused.value.lines[0]
    assert world.export() == narrow


REFUSALS: dict[str, tuple[Edit, str]] = {
    "a new agreement": (
        lambda text: (
            text
            + OFFER.replace("offer:", "agreement:").replace(
                "audience:public", "project:manchester_squad"
            )
        ),
        "comes from a request",
    ),
    "one that overlaps": (
        lambda text: (
            text
            + "\n[[grant]]\n"
            + re.sub(
                r"agreement:\w{32}",
                "agreement:other",
                next(one for one in text.split("[[grant]]\n") if 'grant = "agreement:' in one),
            )
        ),
        "no such grant|There is no such grant",
    ),
    "later than the request asked for, in no day": (
        lambda text: within(text, "agreement", "2027-01-01 00:00", "2027-04-01 00:00"),
        "midnight in London",
    ),
    "another purpose": (
        lambda text: within(text, "agreement", 'purpose = "Families', 'purpose = "Other families'),
        "cannot be said in a file",
    ),
    "another project": (
        lambda text: within(text, "agreement", "sheffield_squad", "manchester_squad"),
        "cannot be said in a file",
    ),
    "an earlier beginning": (
        lambda text: re.sub(r"begins = \S+ \S+\n", "begins = 2020-01-01T00:00:00Z\n", text),
        "cannot be said in a file",
    ),
    "an unknown place": (
        lambda text: within(
            text,
            "agreement",
            'type = "all_rows"',
            'type = "rows_in_places"\nplaces = ["E99999999"]',
        ),
        "E99999999",
    ),
    "a column that is not there": (
        lambda text: within(text, "agreement", '"children"', '"infants"'),
        'no column "infants"',
    ),
    "more than one result may have none of": (
        lambda text: within(
            text,
            "agreement",
            '[[grant.obligations]]\ntype = "limit_output"',
            '[[grant.obligations]]\ntype = "limit_result"\nrows = 0\n\n'
            '[[grant.obligations]]\ntype = "limit_output"',
        ),
        "at least 1",
    ),
    "another tier": (
        lambda text: within(text, "agreement", 'tier = "rows"', 'tier = "aggregate"'),
        "output tier",
    ),
    "what a role may do": (lambda text: without(text, "role"), "the marketplace's own law"),
    "who may find it": (lambda text: without(text, "listing"), "first published"),
    "an offer of a part of what offers open": (
        lambda text: text + OFFER.replace('"dataset:preview", ', ""),
        "cannot be said in a file",
    ),
    "an offer that began": (
        lambda text: text + OFFER.replace("ends =", "begins = 2026-01-01T00:00:00Z\nends ="),
        "cannot be said in a file",
    ),
    "an offer of what is not there": (
        lambda text: text + OFFER.replace("mhclg.homes", "mhclg.houses"),
        "mhclg.houses",
    ),
    "an offer of everything there is": (
        lambda text: text + OFFER.replace('"mhclg.homes"', '"mhclg.*"'),
        "organisation.dataset",
    ),
    "a stop with an end": (
        lambda text: text + STOP + "ends = 2027-01-01T00:00:00Z\n",
        "cannot be said in a file",
    ),
    "half an audience": (
        lambda text: text + STOP.replace("project:manchester_squad", "only:business"),
        "also for only:public",
    ),
    "half an organisation": (
        lambda text: text + STOP.replace("project:manchester_squad", "employer:acme"),
        "also for organisation:acme",
    ),
    "a stop of nobody": (
        lambda text: text + STOP.replace("project:manchester_squad", "role:owner@mhclg"),
        "cannot be stopped by name",
    ),
    "a NUL": (
        lambda text: text + STOP.replace("project:manchester_squad", r"person:\u0000"),
        "cannot be stopped by name",
    ),
}


def test_what_no_file_can_do_is_refused_with_its_line_and_nothing_of_the_file_is_done(
    world: Reviewed,
) -> None:
    written, before = world.export(), world.revision()
    for name, (edit, sentence) in REFUSALS.items():
        # Beside something that could be done by itself.
        edited = edit(written) + OFFER.replace("2026-12-31", "2027-01-31")
        with pytest.raises(InvalidSharing, match="nothing was changed") as refused:
            world.apply(edited)
        [line] = refused.value.lines[:1]
        assert re.search(sentence, line), (name, line)
        assert re.match(r"(line \d+|taken out), (agreement|role|listing|offer|denial):", line), name
    assert (world.revision(), world.export()) == (before, written)
    assert world.logged(EntryKind.POLICY_APPLIED) == []


def test_each_change_is_in_the_audit_log_beside_that_of_the_file(world: Reviewed) -> None:
    world.apply(without(world.export(), "agreement") + OFFER + STOP)
    each = (
        EntryKind.AGREEMENT_ENDED,
        EntryKind.POLICY_APPLIED,
        EntryKind.RULE_DENIED,
        EntryKind.RULE_OFFERED,
    )
    assert world.logged(*each) == list(each)


def test_a_stop_is_ended_by_the_authority_that_made_it_and_each_applies_their_own_part(
    world: Reviewed,
) -> None:
    world.administrator()
    world.apply(world.export("administrator") + STOP, "administrator")
    stopped = world.export()
    opened = without(stopped, "denial")
    with pytest.raises(AccessDenied) as refused:
        world.apply(opened + OFFER)
    [line] = refused.value.lines
    assert line.startswith("taken out, denial:organisation@")
    assert "An administrator of the organisation made this stop" in line
    with pytest.raises(AccessDenied, match="nothing was changed"):
        world.apply(opened + OFFER, "administrator")
    assert world.export() == stopped
    world.apply(opened, "administrator")
    assert said(world.export()) == said(opened)


def test_who_has_no_say_changes_nothing_by_a_file(world: Reviewed) -> None:
    written = world.export()
    for who in ("auditor", "publisher", "member", "outsider"):
        with pytest.raises(AccessDenied):
            world.apply(without(written, "agreement"), who)
    assert world.export() == written
    assert len(world.logged(EntryKind.SHARING_REFUSED)) == 4


def test_who_is_on_the_asking_side_shortens_by_a_file_and_does_not_extend(
    world: Reviewed,
) -> None:
    world.marketplace.administration.add_member(
        project="sheffield_squad",
        email="owner@mhclg.example",
        first_day=date(2026, 1, 1),
        last_day=None,
        by=BY,
    )
    longer = within(world.export(), "agreement", "2027-01-01 00:00", "2027-02-01 00:00")
    with pytest.raises(AccessDenied) as refused:
        world.apply(longer)
    assert "Whoever asked for data does not decide on it" in refused.value.lines[0]
    world.apply(within(world.export(), "agreement", "2027-01-01 00:00", "2026-12-01 00:00"))


def test_a_file_for_another_organisation_is_refused(world: Reviewed) -> None:
    written = world.export()
    other = written.replace('organisation = "mhclg"', 'organisation = "sheffield"')
    with pytest.raises(InvalidRule, match="not of sheffield"):
        world.apply(other)
    empty = 'format = 1\norganisation = "sheffield"\nrevision = 3\n'
    with pytest.raises(AccessDenied, match="policy of sheffield"):
        world.apply(empty)


def test_what_somebody_else_changed_since_is_not_overwritten(world: Reviewed) -> None:
    world.apply(world.export() + OFFER)
    old = world.export()
    [agreement] = world.marketplace.sharing.agreements(world.owner)
    world.marketplace.sharing.extend(world.owner, agreement.id, date(2027, 3, 31), "It helps.")
    shorter = within(old, "agreement", "2027-01-01 00:00", "2026-12-25 00:00")
    for edited in (shorter, without(old, "agreement"), shorter + STOP):
        with pytest.raises(PolicyOutdated, match="has moved") as outdated:
            world.apply(edited)
        assert f"agreement:{agreement.id}: somebody else" in outdated.value.lines[0]
    review = world.marketplace.policy.review(world.owner, shorter)
    assert [(one.change, one.outdated) for one in review.differences] == [("change", True)]

    # What the file does not change stays as it is by now.
    added = world.marketplace.standing.offer(world.owner, HOMES, Audience.BUSINESS)
    applied = world.apply(without(old, "offer") + STOP)
    assert {one.change for one in applied.differences} == {"make", "end"}
    [agreement] = world.marketplace.sharing.agreements(world.owner)
    assert agreement.last_day == date(2027, 3, 31)
    assert [
        one.id for one in world.marketplace.standing.offers(world.owner) if not one.ended_at
    ] == [added.id]


def test_a_grant_that_was_ended_does_not_come_back_by_an_old_file(world: Reviewed) -> None:
    old = world.export()
    [agreement] = world.marketplace.sharing.agreements(world.owner)
    world.marketplace.sharing.revoke(world.owner, agreement.id, "It is over.")
    assert world.apply(old).differences == ()
    current = re.sub(r"\nrevision = \d+", f"\nrevision = {world.revision()}", old)
    with pytest.raises(InvalidSharing) as refused:
        world.apply(current)
    assert "There is no such grant" in refused.value.lines[0]
    with pytest.raises(Exception, match=r"not allowed|No |is no |There is"):
        world.query(COUNT)


def test_an_agreement_that_ended_by_itself_since_is_left_alone(world: Reviewed, clock: Any) -> None:
    old = world.export()
    clock.advance(timedelta(days=10))
    with pytest.raises(InvalidSharing) as refused:
        world.apply(within(old, "agreement", "2027-01-01 00:00", "2026-11-26 00:00"))
    assert "has passed already: revoke the agreement instead" in refused.value.lines[0]
    clock.advance(timedelta(days=50))
    assert world.apply(without(old, "agreement")).differences == ()


def test_a_file_says_which_revision_it_was_written_from_and_is_applied_with_a_reason(
    world: Reviewed,
) -> None:
    wrong: tuple[tuple[int, type[Exception], str], ...] = (
        (0, InvalidRule, "does not say which revision"),
        (-1, InvalidRule, "no policy revision -1"),
        (999_999, InvalidRule, "no policy revision 999999 yet"),
        (1, PolicyOutdated, "from revision 1, and what it changes has moved"),
    )
    written = world.export() + OFFER
    for named, error, match in wrong:
        with pytest.raises(error, match=match):
            world.apply(re.sub(r"\nrevision = \d+", f"\nrevision = {named}", written))
    stops = (STOP.replace("manchester_squad", f"squad_{number}") for number in range(200))
    with pytest.raises(InvalidRule, match="makes 201 changes"):
        world.apply("".join((written, *stops)))
    with pytest.raises(InvalidSharing, match="has a reason"):
        world.marketplace.policy.apply(world.owner, written, " ")


def test_a_damaged_rule_is_named_and_decides_nothing_and_the_rest_is_written_out(
    world: Reviewed,
) -> None:
    rule = world.damage("dataset:query")
    [finding] = [
        one for one in world.marketplace.policy.lint(world.owner, "mhclg") if one.fault == "damaged"
    ]
    assert finding.rule == rule
    assert "cannot be read" in finding.sentence
    written = world.export()
    assert rule in "".join(line for line in written.splitlines() if line.startswith("#"))
    with pytest.raises(AccessDenied):
        world.query(COUNT)
    # Nobody can say in a file what is not in it, but what it came from can be ended.
    with pytest.raises(InvalidSharing) as refused:
        world.apply(within(written, "agreement", "2027-01-01 00:00", "2026-12-25 00:00"))
    assert "damaged" in refused.value.lines[0]
    world.apply(written + OFFER)
    world.apply(without(world.export(), "agreement"))
    [agreement] = world.marketplace.sharing.agreements(world.owner)
    assert agreement.ended_as is AgreementState.REVOKED


def test_an_operator_stops_a_party_everywhere_by_the_marketplaces_own_file(
    world: Reviewed,
) -> None:
    written = world.export("operator", "*")
    stop = STOP.replace('"mhclg.homes"', '"*"')
    stop = re.sub(r"actions = .*\n", 'actions = ["*"]\n', stop)
    world.apply(written + stop.replace("manchester_squad", "sheffield_squad"), "operator")
    with pytest.raises(UnknownDataset):
        world.query(COUNT)
    world.apply(without(world.export("operator", "*"), "denial"), "operator")
    assert len(world.query(COUNT)) == 1


def test_the_command_tries_then_applies_and_an_old_file_is_a_conflict(
    world: Reviewed,
    url: str,
    acting: Callable[[str], Client],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MARKETPLACE_URL", url)
    monkeypatch.setenv("MARKETPLACE_TOKEN", world.secret("owner"))
    old = world.export()
    file = tmp_path / "mhclg.toml"
    file.write_text(without(old, "agreement") + OFFER)
    command = ["policy", "apply", str(file), "--reason", WHY]
    assert main([*command, "--dry-run"]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert world.export() == old
    assert main(command) == 0
    assert f"at revision {world.revision()}" in capsys.readouterr().out
    again = acting("owner")
    with pytest.raises(MarketplaceProblem) as outdated:
        again.apply_policy(within(old, "agreement", "2027-01-01 00:00", "2026-12-25 00:00"), WHY)
    assert outdated.value.status == 409
