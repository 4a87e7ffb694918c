"""The three journeys over a real socket with the real client."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from marketplace.client import MarketplaceProblem
from marketplace.wire import ApprovalForm, RowsInPlaces, ScopeOfTable, ShareRequestForm

HOMES = "area_code,area,households\nE08000012,Liverpool,1200\nE08000039,Sheffield,614\n"

FORM = ShareRequestForm(
    dataset="mhclg.homes",
    tables=(ScopeOfTable(table="homes", rows=RowsInPlaces(places=("Sheffield",))),),
    last_day=date(2026, 12, 31),
    data_type="none",
    aims="Fewer families in bed and breakfast",
    power="legislation",
    power_named="Housing Act 1996, section 208",
)


def refusal(run: Callable[[], object]) -> MarketplaceProblem:
    with pytest.raises(MarketplaceProblem) as caught:
        run()
    return caught.value


def test_a_dataset_goes_from_a_file_to_the_rows_agreed(acting, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    file = tmp_path / "homes in bed & breakfast.csv"
    file.write_text(HOMES)
    published = acting("publisher").publish(
        file,
        "mhclg.homes",
        title="Homes",
        visible_to="local_government",
        official_sensitive=True,
        progress=lambda done, total: told.append((done, total)),
    )
    assert (published.release.number, published.table.rows) == (1, 2)
    assert [column.type for column in published.table.columns] == ["VARCHAR", "VARCHAR", "BIGINT"]
    assert told[-1] == (len(HOMES), len(HOMES))

    member, owner = acting("member"), acting("owner")
    assert [found.address for found in member.search("homes")] == ["mhclg.homes"]
    described = member.dataset("mhclg.homes")
    assert (described.readable, described.official_sensitive) == (False, True)
    assert refusal(lambda: member.query("SELECT * FROM mhclg.homes")).exit_code == 4

    asked = member.ask(FORM)
    assert [request.id for request in owner.requests()] == [asked.id]
    assert owner.take_up(asked.id).state == "in_review"
    agreement = owner.approve(asked.id, ApprovalForm(reason="Agreed"))
    assert (agreement.state, agreement.last_day) == ("active", FORM.last_day)
    assert member.request(asked.id).moves[-1].after == "accepted"

    result = member.query("SELECT * FROM mhclg.homes")
    assert result.releases == {"mhclg.homes": 1}
    assert result.to_arrow().to_pylist() == [
        {"area_code": "E08000039", "area": "Sheffield", "households": 614}
    ]
    assert member.dataset("mhclg.homes").readable
    assert member.why("mhclg.homes").allowed

    assert owner.revoke(agreement.id, "The purpose has ended").state == "revoked"
    assert [one.state for one in member.agreements()] == ["revoked"]
    refused = refusal(lambda: member.query("SELECT * FROM mhclg.homes"))
    assert (refused.status, refused.type) == (403, "/problems/access-denied")
    assert refused.next_step
    told = member.why("mhclg.homes")
    assert not told.allowed
    assert "Its owner revoked it. The reason given: The purpose has ended" in told.sentence


def test_a_table_that_is_to_be_sorted_says_so_and_stays_so(acting, tmp_path: Path) -> None:
    file = tmp_path / "homes.csv"
    file.write_text(HOMES)
    publisher = acting("publisher")
    first = publisher.publish(file, "mhclg.homes", sort=["Households", "area"])
    assert first.table.sort == ("households", "area")
    file.write_text(HOMES + "E08000003,Manchester,1\n")
    second = publisher.publish(file, "mhclg.homes")
    assert (second.release.number, second.table.contract_version) == (2, 1)
    [table] = publisher.dataset("mhclg.homes").release.tables
    assert table.sort == ("households", "area")
