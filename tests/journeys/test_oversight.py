"""Who, what and changes over the running service, told to those who may hear it and nobody else."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from access_policies.vocabulary import Audience, Role
from catalogue.address import DatasetAddress
from marketplace.audit.entries import EntryKind, latest
from marketplace.cli import main
from marketplace.client import Client
from marketplace.client.errors import MarketplaceProblem
from marketplace.identity import records

from .conftest import BY, World

HOMES = DatasetAddress("mhclg", "homes")
MEMBER = "member@sheffield.example"
Acting = Callable[[str], Client]


def give_token(world: World, name: str, email: str, **purpose: Any) -> None:
    world._secrets[name], _ = world.marketplace.administration.issue_token(
        email=email,
        expires_at=world.marketplace.clock() + timedelta(days=30),
        by=BY,
        **purpose,
    )


def test_the_owner_sees_everybody_who_can_read_by_what_and_until_when(
    shared: World, acting: Acting
):
    told = acting("owner").who("mhclg.homes")
    (agreement,) = [one for one in told.access if one.grant.startswith("agreement:")]
    assert (agreement.acting, agreement.actions) == (
        "sheffield_squad",
        ("dataset:download", "dataset:preview", "dataset:query"),
    )
    assert [person.email for person in agreement.people] == [MEMBER]
    assert agreement.until is not None
    assert agreement.until.isoformat() == "2027-01-01T00:00:00+00:00"
    assert agreement.what == ("homes: all rows; columns area_code, area, households and children.",)
    roles = {one.by: [person.name for person in one.people] for one in told.access}
    assert roles["The role of owner of mhclg"] == ["owner"]
    assert roles["The role of publisher of mhclg"] == ["publisher"]
    assert "outsider" not in str(told)


@pytest.mark.parametrize("person", ["member", "outsider", "publisher"])
def test_nobody_else_hears_about_others(shared: World, acting: Acting, person: str):
    client = acting(person)
    for ask in (
        lambda: client.who("mhclg.homes"),
        lambda: client.what("owner@mhclg.example"),
        lambda: client.changes("2026-11-22"),
        lambda: client.changes("2026-11-22", dataset="mhclg.homes"),
    ):
        with pytest.raises(MarketplaceProblem) as refused:
            ask()
        assert refused.value.status == 403, refused.value


def test_a_dataset_that_the_caller_may_not_know_of_answers_as_none(shared: World, acting: Acting):
    shared.publish(address="mhclg.hidden", visible_to=Audience.GOVERNMENT)
    told = []
    for name in ("hidden", "nothing"):
        for ask in (
            lambda at: acting("member").who(at),
            lambda at: acting("member").changes("1", dataset=at),
        ):
            with pytest.raises(MarketplaceProblem) as refused:
                ask(f"mhclg.{name}")
            told.append((refused.value.status, str(refused.value).replace(name, "X")))
    assert len(set(told)) == 1
    assert told[0][0] == 404


def test_everybody_sees_what_they_can_read_in_each_capacity(shared: World, acting: Acting):
    give_token(shared, "as publisher", MEMBER, role=Role.PUBLISHER, organisation="sheffield")
    shared.publish(address="sheffield.spend", by="as publisher")
    told = {(one.dataset, one.acting) for one in acting("member").what().access}
    assert told == {
        ("mhclg.homes", "sheffield_squad"),
        ("sheffield.spend", "publisher of sheffield"),
    }
    # The ministry's owner looks after the ministry's data, and hears of that alone.
    heard = acting("owner").what(MEMBER)
    assert {one.dataset for one in heard.access} == {"mhclg.homes"}
    assert {one.dataset for one in acting("auditor").what(MEMBER).access} == {
        "mhclg.homes",
        "sheffield.spend",
    }
    assert acting("owner").what("nobody@nowhere.example").access == ()
    assert acting("owner").what("outsider@manchester.example").access == ()


@pytest.mark.usefixtures("homes")
def test_changes_tell_who_gained_and_lost_and_why(world: World, acting: Acting, clock: Any):
    begun = acting("owner").who("mhclg.homes").revision
    clock.advance(timedelta(days=1))
    agreement = world.share()
    clock.advance(timedelta(days=1))
    world.marketplace.administration.second(
        email="outsider@manchester.example",
        host_project="sheffield_squad",
        first_day=date(2026, 11, 20),
        last_day=date(2026, 12, 20),
        by=BY,
    )
    world.marketplace.administration.add_member(
        project="sheffield_squad",
        email="outsider@manchester.example",
        first_day=date(2026, 11, 20),
        last_day=None,
        by=BY,
    )
    owner = acting("owner")
    gained = owner.changes(str(begun)).changes
    told = [
        (one.turn, one.acting, sorted(p.name for p in one.people), one.because) for one in gained
    ]
    made = f"Agreement {agreement.id} was made."
    assert told == [
        ("gained", "sheffield_squad", ["member"], made),
        (
            "gained",
            "sheffield_squad",
            ["outsider"],
            f"{made} They began to act as sheffield_squad.",
        ),
    ]
    since = owner.changes("2026-11-24").changes
    assert [(one.turn, [p.name for p in one.people]) for one in since] == [("gained", ["outsider"])]

    middle = owner.who("mhclg.homes").revision
    world.marketplace.sharing.revoke(world.owner, agreement.id, "It has ended")
    (lost,) = owner.changes(str(middle)).changes
    assert (lost.turn, lost.because) == ("lost", f"Agreement {agreement.id} was ended.")
    assert {person.name for person in lost.people} == {"member", "outsider"}
    assert owner.changes(str(begun), dataset="mhclg.homes").changes == ()  # came and went
    # What lies between two points of the past stays as it was told.
    assert owner.changes(str(begun), until=str(middle)).changes == gained


def test_a_last_day_that_passes_is_a_loss_by_time(shared: World, acting: Acting, clock: Any):
    clock.now = clock.now.replace(year=2027, month=1, day=2)
    (lost,) = acting("owner").changes("2026-11-23").changes
    assert (lost.turn, [person.name for person in lost.people]) == ("lost", ["member"])
    assert lost.because.endswith("reached its end.")


def test_a_point_that_is_none_is_told_as_such(shared: World, acting: Acting):
    for since, status in (
        ("yesterday", 400),
        ("999999999", 422),
        ("9" * 40, 400),
        ("\x1b[31m", 400),
        ("9999-12-31", 400),
    ):
        with pytest.raises(MarketplaceProblem) as refused:
            acting("owner").changes(since, until="1")
        assert refused.value.status == status, since
        assert refused.value.next_step


def test_each_question_is_one_entry_in_the_log(shared: World, acting: Acting):
    def entries() -> list[Any]:
        with shared.marketplace.database.reading() as connection:
            return list(latest(connection, kinds=[EntryKind.ACCESS_EXPLAINED]))

    before = len(entries())
    acting("owner").who("mhclg.homes")
    acting("owner").what(MEMBER)
    acting("owner").changes("2026-11-22")
    acting("member").what()
    found = entries()[: len(entries()) - before]
    assert sorted(entry.facts["question"] for entry in found) == ["changes", "what", "what", "who"]
    about = {entry.person.get("about_person") for entry in found}
    assert about == {None, MEMBER}
    assert all(MEMBER not in str(entry.facts) for entry in found)
    refused = len(entries())
    with pytest.raises(MarketplaceProblem):
        acting("member").who("mhclg.homes")
    with shared.marketplace.database.reading() as connection:
        kept = latest(connection, kinds=[EntryKind.SHARING_REFUSED])
    assert (len(entries()), len(kept)) == (refused, 1)


def test_why_tells_in_which_other_capacity_one_may(shared: World, acting: Acting):
    give_token(shared, "as publisher", MEMBER, role=Role.PUBLISHER, organisation="sheffield")
    told = acting("as publisher").why("mhclg.homes")
    assert (told.allowed, told.acting) == (False, "publisher of sheffield")
    assert told.ask.startswith("You may when you act as sheffield_squad: send a token for that.")
    asked = acting("owner").why("mhclg.homes", person=MEMBER)
    assert (asked.allowed, asked.acting) == (True, "sheffield_squad")
    assert asked.sentence.startswith(
        "When they act as sheffield_squad they would be told: Agreement"
    )
    assert "It was made for sheffield_squad on 22 November 2026." in asked.sentence


def test_a_hostile_name_reaches_no_terminal(
    shared: World,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    hostile = "Eve\x1b[31m\x9b2J\u202e"
    with shared.marketplace.database.writing() as connection:
        member = records.people.c.email == MEMBER
        connection.execute(update(records.people).where(member).values(name=hostile))
    monkeypatch.setenv("MARKETPLACE_URL", url)
    monkeypatch.setenv("MARKETPLACE_TOKEN", shared.secret("owner"))
    for command in (
        ("who", "mhclg.homes"),
        ("what", MEMBER),
        ("changes", "1"),
        ("why", "mhclg.homes", "--person", MEMBER),
    ):
        assert main(command) == 0
        told = capsys.readouterr()
        assert not {"\x1b", "\x9b", "\u202e"} & set(told.out + told.err), command
    main(("who", "mhclg.homes"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 people can read mhclg.homes" in shown
    assert "the end of 31 December 2026" in shown
