"""Policy as files: an owner writes theirs out, reviews it, and sees what a change of it would do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from access_policies import policy_text
from access_policies.vocabulary import Audience
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.cli import main
from marketplace.client import Client, MarketplaceProblem
from marketplace.rollout.proposals import Target

Acting = Callable[[str], Client]


def test_the_file_of_an_organisation_holds_every_grant_on_its_datasets(
    shared: Any, acting: Acting
) -> None:
    document = policy_text.read(acting("owner").policy("mhclg"))
    kinds = {grant.kind.value for grant in document.grant}
    assert {"agreement", "role", "listing"} <= kinds
    assert all(grant.dataset.startswith("mhclg.") for grant in document.grant)
    assert document.revision > 0


def test_a_file_as_it_was_written_says_what_stands(shared: Any, acting: Acting) -> None:
    owner = acting("owner")
    review = owner.review_policy(owner.policy("mhclg"))
    assert (review.organisation, review.differences) == ("mhclg", ())


def test_a_grant_taken_out_of_a_file_would_end_and_one_put_in_would_be_made(
    shared: Any, acting: Acting
) -> None:
    owner = acting("owner")
    before, _, listing = owner.policy("mhclg").partition('[[grant]]\ngrant = "listing:')
    assert listing
    offer = """[[grant]]
grant = "offer:"
subject = "audience:public"
dataset = "mhclg.homes"
actions = ["dataset:discover"]
"""
    found = owner.review_policy(before + offer).differences
    assert {(one.change, one.grant.partition(":")[0]) for one in found} == {
        ("make", "offer"),
        ("end", "listing"),
    }


def test_an_agreement_of_a_squad_whose_stage_is_closed_is_named(
    shared: Any, acting: Acting
) -> None:
    owner = acting("owner")
    assert {found.fault for found in owner.policy_findings("mhclg")} <= {"over-broad"}
    shared.move(Target(scope="*", stage=Audience.GOVERNMENT))
    found = [one for one in owner.policy_findings("mhclg") if one.fault == "unreachable"]
    assert any("project:sheffield_squad" in one.sentence for one in found)


@pytest.mark.parametrize("organisation", ["mhclg", "*", "sheffield"])
def test_who_neither_decides_nor_audits_reads_no_policy(
    shared: Any, acting: Acting, organisation: str
) -> None:
    with pytest.raises(MarketplaceProblem) as refused:
        acting("member").policy(organisation)
    assert refused.value.status == 403


def test_an_owner_reads_their_own_organisations_file_and_no_other(
    shared: Any, acting: Acting
) -> None:
    for other in ("*", "sheffield"):
        with pytest.raises(MarketplaceProblem, match="may not read the policy"):
            acting("owner").policy(other)


def test_a_slip_in_a_file_is_told_with_its_place(shared: Any, acting: Acting) -> None:
    owner = acting("owner")
    with pytest.raises(MarketplaceProblem, match="no action") as refused:
        owner.review_policy(owner.policy("mhclg").replace("dataset:query", "dataset:look", 1))
    assert refused.value.status == 422


def test_each_reading_is_in_the_audit_log(shared: Any, acting: Acting) -> None:
    acting("owner").policy("mhclg")
    shared.marketplace.audit.sequence()
    with shared.marketplace.database.reading() as connection:
        [entry] = entries.latest(connection, kinds=(EntryKind.POLICY_READ,), limit=10)
    assert entry.facts["organisation"] == "mhclg"


def test_the_commands_write_check_and_compare(
    shared: Any,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MARKETPLACE_URL", url)
    monkeypatch.setenv("MARKETPLACE_TOKEN", shared.secret("owner"))
    assert main(["policy", "export", "mhclg", "--into", str(tmp_path)]) == 0
    file = tmp_path / "mhclg.toml"
    assert main(["policy", "diff", str(file)]) == 0
    assert "The file changes nothing." in capsys.readouterr().out
    file.write_text(file.read_text().replace("subject =", "sbuject =", 1))
    assert main(["policy", "diff", str(file)]) == 2
    assert "sbuject" in capsys.readouterr().err
    assert main(["policy", "check", "mhclg"]) == 0
