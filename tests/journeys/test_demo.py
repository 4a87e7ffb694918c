"""The demo tells the seven steps, and what the README shows works on the world that it leaves."""

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from itertools import takewhile
from pathlib import Path

import pytest
from rich.console import Console

from marketplace.bootstrap import opened
from marketplace.cli import main
from marketplace.demo.cast import CAST
from marketplace.demo.story import tell
from marketplace.demo.telling import Outcome
from marketplace.demo.world import world
from marketplace.errors import SettingInvalid
from marketplace.flight.server import running_flight
from marketplace.serve import running
from marketplace.settings import Settings

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"

# After the last act, and before every day that the README names.
PRESENT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def present() -> datetime:
    return PRESENT


@dataclass(frozen=True)
class Told:
    outcomes: tuple[Outcome, ...]
    text: str
    folder: Path

    def result(self, step: int, tried: str) -> str:
        """What came of the one thing that was tried in a step and begins so."""
        (found,) = [
            outcome.result
            for outcome in self.outcomes
            if outcome.step == step and outcome.tried.startswith(tried)
        ]
        return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("demo") / "demo-world"
    written = StringIO()
    outcomes = tell(folder, Console(file=written, width=200), present)
    return Told(outcomes, written.getvalue(), folder)


@pytest.fixture(scope="module")
def tokens(told: Told) -> dict[str, str]:
    read: dict[str, str] = json.loads((told.folder / "tokens.json").read_text())
    return read


@pytest.fixture
def served(
    told: Told, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The kept world, served, with the squad member's environment in the folder beside it."""
    with (
        opened(Settings(data=told.folder), clock=present) as marketplace,
        running(marketplace) as url,
        running_flight(marketplace) as location,
    ):
        environment = {"MARKETPLACE_URL": url, "MARKETPLACE_TOKEN": tokens["squad_member"]}
        environment["FLIGHT_LOCATION"] = location
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("MARKETPLACE_PROJECT", raising=False)
        monkeypatch.chdir(told.folder.parent)
        yield environment


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def commands_shown() -> list[str]:
    """Every call of `marketplace` that the README shows, in its order."""
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(".venv/bin/marketplace ")]


def test_the_demo_tells_seven_steps_and_sums_them_up(told: Told):
    assert [f"{number} of 7" in told.text for number in range(1, 8)] == [True] * 7
    assert {outcome.step for outcome in told.outcomes} == set(range(1, 8))
    summary = told.text[told.text.index("What happened, in ") :]
    assert all(outcome.tried in summary for outcome in told.outcomes)


def test_real_councils_and_departments_are_registered(told: Told):
    result = told.result(1, "Register organisations")
    departments, councils = map(int, re.findall(r"\d+", result))
    assert departments == 699
    assert councils > 380


def test_every_file_is_published_as_its_publisher_has_it(told: Told):
    assert "296 rows" in told.result(2, "Publish mhclg.temporary_accommodation")
    assert "11,024 rows" in told.result(2, "Publish leeds.spending.march_2011")
    assert "9,635 rows" in told.result(2, "Publish trafford.spending.september_2014")
    assert "474,674 rows" in told.result(2, "Publish manchester.payments")


def test_a_total_below_a_table_is_refused_until_the_publisher_says_where_the_table_ends(told: Told):
    refused = told.result(2, "Publish leeds.spending.july_2013 with")
    assert refused == "refused: File unreadable"
    assert (
        "10,778 rows" in told.outcomes[[o.result for o in told.outcomes].index(refused) + 1].result
    )


def test_the_member_gets_sheffields_row_under_either_code(told: Told):
    result = told.result(4, "Query over HTTP")
    assert result == "1 row of 296: Sheffield as E08000039, agreed as E08000019"
    assert told.result(4, "Look for other rows").startswith("1 row from Sheffield to Sheffield")


def test_the_last_day_ends_at_midnight_in_london(told: Told):
    assert told.result(5, "Query at 23:59:59 on 19 Nov") == "1 row"
    assert told.result(5, "Query at 00:00:00 on 20 Nov") == "refused: Not allowed"


def test_a_revocation_cuts_the_stream(told: Told):
    assert told.result(5, "Revoke in the middle") == "cut at once, and told as cut"
    assert told.result(5, "Query after the revocation") == "refused: Not allowed"


def test_the_rollout_waits_for_its_exit_criteria(told: Told):
    assert told.result(6, "Propose to open") == "refused: 3 of 4 exit criteria are met"
    assert told.result(6, "Leeds and Trafford name") == "4 of 4 exit criteria are met"


def test_the_preview_counts_what_the_offer_and_the_listing_open(told: Told):
    assert told.result(6, "Preview") == ("3 pairs of dataset and party become readable, 3 askable")
    opened = re.findall(
        r"(\S+) +(organisation|audience|project) \S+ +(readable|askable) +(\w+)", told.text
    )
    assert sorted(opened) == [
        (dataset, kind, access, grant)
        for dataset, access, grant in (
            ("manchester.payments", "askable", "listing"),
            ("trafford.spending", "readable", "offer"),
        )
        for kind in ("audience", "organisation", "project")
    ]


def test_a_researcher_reads_only_while_two_operators_have_it_open(told: Told):
    queries = [
        outcome.result
        for outcome in told.outcomes
        if outcome.step == 6 and outcome.tried.startswith("Query")
    ]
    assert queries == [
        "refused: No such dataset",
        "9,635 payments counted",
        "refused: No such dataset",
    ]
    assert told.result(6, "Confirm one's own") == "refused: Not allowed"
    reason = "The rollout has reached local government, and you act for researchers."
    assert told.text.count(reason) == 2


def test_the_log_is_whole_and_its_copies_are_found_out(told: Told):
    assert told.result(7, "Verify the audit log").startswith("whole: ")
    assert told.result(7, "In a copy, change") == "found"
    assert told.result(7, "In a copy, remove") == "found"
    assert told.result(7, "Restore the whole log") == "looks whole by itself"
    assert told.result(7, "Hold the receipt") == "found"


def test_what_the_readme_shows_of_the_demo_is_what_the_demo_says(told: Told):
    (sample,) = blocks("text")[:1]
    said = _as_told(told.text)
    for paragraph in re.split(r"\n(?=  ✔|\d of 7|  \S|\n)", sample):
        assert _as_told(paragraph) in said


def _as_told(text: str) -> str:
    """On one line, and with any number of entries: each audited act more would change the README."""
    return re.sub(r"[\d,]+ entries", "N entries", " ".join(text.split()))


def test_the_kept_world_has_everybodys_token_for_its_owner_alone(
    told: Told, tokens: dict[str, str]
):
    assert set(tokens) == {character.key for character in CAST}
    files = [told.folder / "tokens" / person for person in tokens]
    assert {file.name: file.read_text().strip() for file in files} == tokens
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((told.folder / "tokens.json").stat().st_mode) == 0o600
    assert not any(token in told.text for token in tokens.values())


def test_the_commands_of_the_readme_work_on_the_kept_world(
    served: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    shown = commands_shown()
    called = {shlex.split(command)[1] for command in shown}
    assert called >= {
        "publish",
        "request",
        "approve",
        "revoke",
        "query",
        "pull",
        "why",
        "audit",
        "rollout",
        "stop",
    }
    Path("marketplace").symlink_to(REPOSITORY / "marketplace")
    for command in shown:
        assert main(shlex.split(command)[1:]) == 0, (command, capsys.readouterr().err)
    said = capsys.readouterr().out
    assert "679" in said
    assert re.search(r"until +the end of 31 January 2027", said)
    assert "474674" in said
    assert "Its owner revoked it. The reason given: The purpose has ended." in " ".join(
        said.split()
    )
    assert "leeds.spending release 3" in said
    assert Path("sheffield.parquet").stat().st_size > 0


def test_the_python_of_the_readme_works_on_the_kept_world(
    served: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    of_the_client, of_adbc = blocks("python")
    exec(compile(of_the_client, "README.md", "exec"), {})
    assert capsys.readouterr().out == "[{'la_name': 'Sheffield', 'children_in_ta': 679}]\n"
    assert "grpc://127.0.0.1:8401" in of_adbc
    here = of_adbc.replace("grpc://127.0.0.1:8401", served["FLIGHT_LOCATION"])
    exec(compile(here, "README.md", "exec"), {})
    assert capsys.readouterr().out.endswith("[{'la_name': 'Sheffield', 'children_in_ta': 679}]\n")


def test_the_call_over_http_of_the_readme_works_on_the_kept_world(served: dict[str, str]):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    call = next(block for block in blocks("bash") if block.startswith("curl "))
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ['"Sheffield",679']


def test_serving_the_kept_world_says_where_it_is_and_how_to_get_in(
    told: Told, tokens: dict[str, str]
):
    command = [sys.executable, "-m", "marketplace.cli", "serve", "--data", str(told.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        shown = list(takewhile(lambda line: not line.startswith("Stop "), service.stdout))
        service.terminate()
    assert service.returncode == 0
    assert any("/api/v1" in line for line in shown)
    assert any("/docs" in line for line in shown)
    (export,) = [line for line in shown if line.startswith("export ")]
    script = f"{export}\nprintenv MARKETPLACE_TOKEN"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == tokens["squad_member"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SettingInvalid, match="something else"), world(tmp_path, present):
        pass
    assert (tmp_path / "letter.txt").read_text() == "dear"
