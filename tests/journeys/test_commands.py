"""The commands over a running service: what they name, what they show, and what they leave unread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from marketplace.audit.entries import EntryKind
from marketplace.audit.receipt import Receipt
from marketplace.cli import main, reading
from marketplace.client import Client, Result, StreamCut

REQUEST = [
    *("request", "mhclg.homes", "--last-day", "2026-12-31", "--data-type", "none"),
    *("--aims", "Fewer families in bed and breakfast", "--power", "legislation"),
    *("--gateway", "DEA2017_S35"),
]

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    world: Any, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command as a person of the small country; its exit code and all that it said."""
    monkeypatch.setenv("MARKETPLACE_URL", url)
    monkeypatch.delenv("MARKETPLACE_PROJECT", raising=False)

    def run(person: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("MARKETPLACE_TOKEN", world.secret(person))
        code = main(arguments)
        told = capsys.readouterr()
        return code, " ".join((told.out + told.err).split())

    return run


@pytest.mark.usefixtures("homes")
def test_a_request_is_named_by_its_beginning_or_by_its_dataset(
    world: Any, run: Run, acting: Callable[[str], Client]
):
    assert "None. Your token is for sheffield_squad" in run("member", "requests")[1]
    assert "None. Your token is for the role of owner in mhclg" in run("owner", "agreements")[1]
    assert run("owner", "approve", "mhclg.homes", "--reason", "x")[0] == 2

    assert run("member", *REQUEST)[0] == run("outsider", *REQUEST)[0] == 0
    code, told = run("owner", "approve", "mhclg.homes", "--reason", "Agreed")
    assert (code, "fits 2; say which" in told) == (2, True)
    assert "cancelled" in run("outsider", "cancel", "mhclg.homes")[1]
    (asked,) = [one for one in acting("owner").requests() if one.state == "submitted"]
    assert f"request {asked.id}" in run("owner", "requests", asked.id[:8])[1]
    assert "actions query, download" in run("owner", "requests", asked.id[:8])[1]
    assert "until the end of 31 December 2026" in run("owner", "requests", asked.id[:8])[1]

    code, told = run("owner", "approve", "mhclg.homes", "--reason", "Agreed")
    assert (code, "until the end of 31 December 2026" in told) == (0, True)
    (agreement,) = acting("owner").agreements()
    assert run("owner", "revoke", agreement.id[:6], "--reason", "Over")[0] == 0
    assert (
        "nothing that you can see is open"
        in run("owner", "revoke", "mhclg.homes", "--reason", "Over")[1].lower()
    )
    assert "marketplace agreements" in run("owner", "revoke", "f" * 32, "--reason", "Over")[1]


def test_a_first_publish_says_who_can_find_the_dataset(world: Any, run: Run, tmp_path: Path):
    file = tmp_path / "homes.csv"
    file.write_text("area,households\nLeeds,3\n")
    told = run("publisher", "publish", str(file), "mhclg.homes")[1]
    assert "people who act for central government can find mhclg.homes" in told
    code, told = run("publisher", "publish", str(file), "mhclg.homes")
    assert (code, "Nothing new to publish" in told) == (5, True)
    file.write_text("area,households\nLeeds,4\n")
    assert "can find" not in run("publisher", "publish", str(file), "mhclg.homes")[1]
    assert "mhclg.homes" in run("publisher", "datasets", "homes", "mhclg")[1]
    assert "None with these words." in run("member", "datasets", "homes", "mhclg")[1]


@pytest.mark.usefixtures("homes")
def test_a_result_in_a_file_comes_with_its_receipt(world: Any, run: Run, tmp_path: Path):
    file, receipt = tmp_path / "homes.parquet", tmp_path / "receipt.txt"
    sql = "SELECT * FROM mhclg.homes"
    assert run("owner", "query", sql, "-o", str(file), "--receipt", str(receipt))[0] == 0
    assert pq.read_table(file).num_rows == 3
    assert Receipt.parse(receipt.read_text()).entry.kind == EntryKind.READ_DECIDED


@pytest.mark.usefixtures("shared")
def test_a_result_is_written_in_the_format_asked_for(world: Any, run: Run, tmp_path: Path):
    sql = "SELECT area, households FROM mhclg.homes WHERE area = 'Sheffield'"
    for output_format, written in [
        ("csv", '"area","households" "Sheffield",614'),
        ("jsonl", '{"area":"Sheffield","households":614}'),
    ]:
        assert run("member", "query", sql, "--format", output_format) == (0, written)
    file = tmp_path / "homes.data"
    code, told = run("member", "query", sql, "--format", "parquet", "--output", str(file))
    assert (code, pq.read_table(file).num_rows) == (0, 1)
    code, told = run("member", "query", sql, "--output", str(file))
    assert (code, "Let it end in one of" in told) == (2, True)
    assert run("member", "query", sql, "--format", "excel")[0] == 2


@pytest.mark.usefixtures("homes")
def test_a_release_is_pulled_by_its_number(world: Any, run: Run, tmp_path: Path):
    world.publish("area_code,area,households,children\nE08000039,Sheffield,700,1\n")
    world.share()
    file = tmp_path / "homes.parquet"
    assert run("member", "pull", "mhclg.homes", str(file), "--release", "1")[0] == 0
    assert pq.read_metadata(file).num_rows == 3
    assert run("member", "pull", "mhclg.homes", str(file))[0] == 0
    assert pq.read_metadata(file).num_rows == 1
    assert run("member", "pull", "mhclg.homes", str(file), "--release", "9")[0] == 3
    wrong = run("member", "pull", "mhclg.homes", str(tmp_path / "homes.csv"), "--release", "1")
    assert (wrong[0], "Parquet" in wrong[1]) == (2, True)


@pytest.mark.usefixtures("shared")
def test_only_the_rows_that_are_shown_are_read(world: Any, run: Run):
    endless = "SELECT a.range FROM range(1000000000) a, mhclg.homes"
    code, told = run("member", "query", endless, "--rows", "2")
    assert code == 0
    assert "The first 2 rows from mhclg.homes release 1" in told
    assert "There are more" in told
    code, told = run("member", "query", "SELECT * FROM mhclg.homes", "--rows", "3")
    assert "3 rows from mhclg.homes release 1" in told
    assert "You may read this until the end of 31 December 2026." in told
    assert "There are more" not in told


@pytest.mark.usefixtures("homes")
def test_a_cut_result_says_that_access_ended(world: Any, run: Run, monkeypatch: pytest.MonkeyPatch):
    agreement = world.share()

    def cut(result: Result, _: int) -> None:
        result.close()
        world.marketplace.sharing.revoke(world.owner, agreement.id, "The purpose has ended.")
        raise StreamCut("The connection ended.")

    monkeypatch.setattr(reading, "_show", cut)
    code, told = run("member", "query", "SELECT * FROM mhclg.homes")
    assert code == 8
    assert "The connection ended. No agreement" in told
    assert "The reason given: The purpose has ended." in told
