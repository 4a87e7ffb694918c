"""The command line: errors told with their exit code, nothing secret in arguments, JSON at hand."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from cyclopts import App

from access_policies.vocabulary import Action, Audience
from catalogue.errors import ContractBroken
from marketplace.cli import choices, main, screen
from marketplace.cli.application import application
from marketplace.cli.failures import exit_code_of
from marketplace.cli.scope import Wanted
from marketplace.cli.screen import clean, end_of
from marketplace.client.errors import InvalidCall
from marketplace.errors import FileUnreadable, StatementRefused
from marketplace.sharing.vocabulary import (
    Article6,
    Article9,
    Controller,
    DataType,
    Power,
    PublicBenefit,
    Schedule1,
)
from marketplace.wire import (
    AtLeast,
    AtMost,
    Constant,
    FirstCharacters,
    KeyedHash,
    MaskedColumn,
    MonthOnly,
    NoValue,
    PostcodeDistrict,
    RowsBetweenDays,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    RowsWithValues,
    ScopeOfTable,
    ShareRequestForm,
    YearOnly,
)

REPOSITORY = Path(__file__).parents[2]
UNUSED_PORT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MARKETPLACE_URL", "MARKETPLACE_TOKEN", "MARKETPLACE_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def leaves(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command that does something, with the words that call it."""
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield path, app
    for name in names:
        yield from leaves(app[name], (*path, name))


COMMANDS = dict(leaves(application()))

# These answer with a sentence, a file or a running service; a program has the exit code.
WITHOUT_A_TABLE = {
    ("demo",),
    ("serve",),
    ("pull",),
    ("return",),
    ("reject",),
    ("cancel",),
    ("revoke",),
    ("withdraw",),
    ("resume",),
    ("staff", "add"),
    ("staff", "dismiss"),
    ("admin", "role", "add"),
    ("admin", "role", "end"),
    ("admin", "squad", "accredit"),
    ("admin", "organisation", "add"),
    ("admin", "person", "add"),
    ("admin", "squad", "add"),
    ("admin", "squad", "member"),
    ("admin", "squad", "leave"),
    ("admin", "secondment", "add"),
    ("admin", "secondment", "end"),
    ("admin", "token", "revoke"),
    ("admin", "first-stage"),
    ("rollout", "withdraw"),
    ("audit", "erase"),
    ("policy", "export"),
}


def options(command: App) -> set[str]:
    """Every option of a command, as a person writes it."""
    return {name for argument in command.assemble_argument_collection() for name in argument.names}


def test_the_walk_over_the_commands_finds_them():
    assert ("publish",) in COMMANDS
    assert ("admin", "token", "issue") in COMMANDS
    assert set(COMMANDS) >= WITHOUT_A_TABLE


@pytest.mark.parametrize("words", sorted(set(COMMANDS) - WITHOUT_A_TABLE), ids=" ".join)
def test_every_command_that_shows_a_table_can_write_json(words: tuple[str, ...]):
    assert "--json" in options(COMMANDS[words])


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_no_command_takes_a_secret_as_an_argument(words: tuple[str, ...]):
    assert not options(COMMANDS[words]) & {"--token", "--secret", "--password", "--key"}


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_every_command_says_what_it_does(words: tuple[str, ...]):
    assert len(COMMANDS[words].help.split()) > 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["nonsense"], 2, "The command cannot be understood"),
        (["query"], 2, "See marketplace query --help"),
        (["admin", "person", "add"], 2, "See marketplace admin person add --help"),
        (["serve", "--port", "high"], 2, "The command cannot be understood"),
        (["request", "a.b", "--last-day", "31/3/2027"], 2, "Write a day as YYYY-MM-DD"),
        (["request", "a.b", "--data-type", "secret"], 2, '"special_category"'),
        (["why", "a.b", "--action", "read"], 2, '"dataset:download"'),
        (["datasets"], 4, "No token was given"),
        (["publish", "nowhere.csv", "mhclg.x"], 2, "no file nowhere.csv"),
        (["publish", ".", "mhclg.x"], 2, ". is a folder"),
        (["audit", "verify", "--data", "nowhere"], 2, "no marketplace in"),
        (["admin", "first-stage", "everybody"], 2, '"local_government"'),
        (["admin", "person", "list"], 2, "no marketplace in"),
        (["admin", "tidy", "--data", "nowhere"], 2, "no marketplace in"),
        (["pull", "mhclg.x", "nowhere/x.csv"], 2, "no folder nowhere"),
        (["query", "SELECT 1", "--output", "nowhere/x.csv"], 2, "no folder nowhere"),
        (["query", "SELECT 1", "--receipt", "nowhere/x.txt"], 2, "no folder nowhere"),
        (["request", "mhclg.x", "--aims", "x"], 2, "without --last-day, --data-type"),
    ],
)
def test_an_error_is_told_with_its_exit_code_and_without_a_traceback(
    arguments: list[str],
    exit_code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    if "no folder" in told:
        monkeypatch.setenv("MARKETPLACE_TOKEN", "dmk_something")
    assert main(arguments) == exit_code
    assert list(tmp_path.iterdir()) == []
    error = capsys.readouterr().err
    assert told in error
    assert "Next: " in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "vocabulary"),
    [
        (choices.ActionWord, Action),
        (choices.DataTypeWord, DataType),
        (choices.PowerWord, Power),
        (choices.Article6Word, Article6),
        (choices.Article9Word, Article9),
        (choices.Schedule1Word, Schedule1),
        (choices.ControllerWord, Controller),
    ],
)
def test_an_option_offers_every_word_of_the_service_but_do_not_know(
    words: object, vocabulary: type[StrEnum]
):
    assert set(get_args(words)) == {word.value for word in vocabulary} - {"dont_know"}


def test_an_option_offers_every_audience():
    assert get_args(choices.AudienceWord) == tuple(one.name.lower() for one in Audience)


def test_the_readme_of_sharing_has_every_word_of_a_request():
    text = (REPOSITORY / "marketplace" / "sharing" / "README.md").read_text()
    kinds = (DataType, Power, Article6, Article9, Schedule1, Controller, PublicBenefit)
    assert [word for kind in kinds for word in kind if f"`{word}`" not in text] == []


def test_the_form_that_the_readme_of_sharing_shows_is_one(tmp_path: Path):
    text = (REPOSITORY / "marketplace" / "sharing" / "README.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    form = msgspec.json.decode(example, type=ShareRequestForm)
    assert form.tables[0].rows == RowsInPlaces(("Sheffield",))


@pytest.mark.parametrize(
    "said",
    [
        *("council", "council=", "=Leeds", "council=Leeds,", "council=,Leeds", ""),
        *("rent>5", "rent>=", "rent>=dear", "<=5", "placed_on>=2024-02-30", "rent<>5"),
    ],
)
def test_rows_are_not_chosen_by_what_was_not_said(said: str):
    with pytest.raises(InvalidCall, match="does not say which rows"):
        Wanted(rows=(said,)).tables("leeds.payments")


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        (("council=Leeds, York",), RowsWithValues("council", ("Leeds", "York"))),
        (("note=a>=b",), RowsWithValues("note", ("a>=b",))),
        (("rent<=1200.50",), RowsInRange("rent", None, Decimal("1200.50"))),
        (("rent>=5", "rent<=9"), RowsInRange("rent", Decimal(5), Decimal(9))),
        (("paid>=20240401",), RowsInRange("paid", Decimal(20240401))),
        (
            ("placed_on>=2024-04-01", "placed_on<=2025-03-31"),
            RowsBetweenDays("placed_on", date(2024, 4, 1), date(2025, 3, 31)),
        ),
        (
            ("rent>=5", "rent>=7", "council=Leeds"),
            RowsMeetingAll(
                (
                    RowsInRange("rent", Decimal(5)),
                    RowsInRange("rent", Decimal(7)),
                    RowsWithValues("council", ("Leeds",)),
                )
            ),
        ),
    ],
)
def test_rows_are_chosen_by_values_ranges_and_days_that_all_hold(
    said: tuple[str, ...], rows: object
):
    (chosen,) = Wanted(rows=said).tables("leeds.payments")
    assert chosen.rows == rows


def test_rows_of_a_place_are_chosen_further_by_a_column():
    (chosen,) = Wanted(place=("Leeds",), rows=("rent<=5",)).tables("leeds.payments")
    assert chosen.rows == RowsMeetingAll(
        (RowsInPlaces(("Leeds",)), RowsInRange("rent", None, Decimal(5)))
    )


@pytest.mark.parametrize(
    ("said", "mask"),
    [
        ("nino=hash:nino", KeyedHash("nino")),
        ("nino=hash", KeyedHash()),
        ("postcode=district", PostcodeDistrict()),
        ("born=year", YearOnly()),
        ("born=month", MonthOnly()),
        ("name=first:3", FirstCharacters(3)),
        ("income=top:100000", AtMost(Decimal(100000))),
        ("income=bottom:0.5", AtLeast(Decimal("0.5"))),
        ("note=null", NoValue()),
        ("note=constant:a=b:c", Constant("a=b:c")),
    ],
)
def test_a_mask_is_said_in_a_word(said: str, mask: object):
    (chosen,) = Wanted(mask=(said,)).tables("leeds.payments")
    assert chosen.masks == (MaskedColumn(said.partition("=")[0], mask),)


@pytest.mark.parametrize(
    "said", ["nino", "nino=", "=hash", "nino=scramble", "name=first", "name=first:x", "a=top:x"]
)
def test_a_mask_that_is_not_known_is_not_passed_over(said: str):
    with pytest.raises(InvalidCall, match="does not say how which column"):
        Wanted(mask=(said,)).tables("leeds.payments")


def test_an_approval_keeps_the_rows_and_masks_asked_for_that_it_says_nothing_of():
    hashed, young = MaskedColumn("nino", KeyedHash("nino")), MaskedColumn("born", YearOnly())
    asked = ScopeOfTable(
        table="payments",
        rows=RowsInPlaces(("Leeds",)),
        masks=(hashed, MaskedColumn("b", NoValue())),
    )
    said = Wanted(column=("nino", "born"), mask=("born=year",))
    assert said.tables("leeds.payments", (asked,)) == (
        ScopeOfTable("payments", ("nino", "born"), RowsInPlaces(("Leeds",)), (hashed, young)),
    )


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (datetime(2027, 2, 1, 0, 0, tzinfo=UTC), "the end of 31 January 2027"),
        (datetime(2027, 6, 30, 23, 0, tzinfo=UTC), "the end of 30 June 2027"),
        (datetime(2027, 2, 1, 9, 30, tzinfo=UTC), "01 Feb 2027 09:30 GMT"),
    ],
)
def test_an_end_at_midnight_in_london_is_told_as_the_end_of_the_last_day(
    moment: datetime, told: str
):
    assert end_of(moment) == told


def test_a_failure_is_json_where_json_was_asked_for(capsys: pytest.CaptureFixture[str]):
    assert main(["datasets", "--json"]) == 4
    told = msgspec.json.decode(capsys.readouterr().err)
    assert (told["title"], told["exit_code"]) == ("Not signed in", 4)
    assert told["next_step"]


def test_settings_that_the_service_names_are_told_as_options(capsys: pytest.CaptureFixture[str]):
    def refuse() -> None:
        raise FileUnreadable(
            'The column "last_line" is no date.',
            next_step="Set last_line to its last line, or text_columns.",
        )

    exit_code_of(refuse)
    told = capsys.readouterr().err
    assert 'The column "last_line" is no date.' in told
    assert "Set --last-line to its last line, or --text-column." in told


def test_a_marketplace_begins_where_its_first_organisation_is_entered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    leeds = ["admin", "organisation", "add", "leeds", "Leeds", "--audience", "local_government"]
    assert main(leeds) == 0
    assert f"A new marketplace begins in {tmp_path}/marketplace-data" in capsys.readouterr().out
    assert main(["admin", "organisation", "list"]) == 0
    assert "local_government" in capsys.readouterr().out


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_every_option_says_what_it_is_for(words: tuple[str, ...]):
    arguments = COMMANDS[words].assemble_argument_collection(parse_docstring=True)
    silent = {
        argument.name
        for argument in arguments
        if argument.show and not argument.parameter.help and not argument.children
    }
    assert silent == set()


def test_a_service_that_does_not_answer_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MARKETPLACE_TOKEN", "dmk_something")
    assert main(["datasets", "--url", UNUSED_PORT]) == 8
    error = capsys.readouterr().err
    assert "dmk_something" not in error
    assert UNUSED_PORT in error


def test_a_token_is_read_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "token"
    path.write_text("dmk_from_a_file\n")
    assert main(["datasets", "--url", UNUSED_PORT, "--token-file", str(path)]) == 8
    assert main(["datasets", "--token-file", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_findings_are_listed_line_by_line(capsys: pytest.CaptureFixture[str]):
    def refuse() -> None:
        raise ContractBroken("It does not fit.", next_step="Look.", lines=["Line 3: no date."])

    assert exit_code_of(refuse) == 6
    assert capsys.readouterr().err.splitlines()[1:] == ["  Line 3: no date.", "Next: Look."]


def test_an_unforeseen_error_is_told_in_a_line(capsys: pytest.CaptureFixture[str]):
    def fail() -> None:
        raise RuntimeError("something broke")

    assert exit_code_of(fail) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_not_sent_to_it(capsys: pytest.CaptureFixture[str]):
    def refuse() -> None:
        raise StatementRefused("\x1b]0;title\x07 [red]no[/red] \u202egnp.exe\nNext: pay")

    exit_code_of(refuse)
    assert capsys.readouterr().err == (
        "Statement refused: \ufffd]0;title\ufffd [red]no[/red] \ufffdgnp.exe Next: pay\n"
    )


def test_json_is_written_unfolded(capsys: pytest.CaptureFixture[str]):
    value = {"a": "x" * 300}
    screen.show_json(value)
    assert msgspec.json.decode(capsys.readouterr().out) == value


def test_nothing_is_shown_for_an_absent_value():
    assert clean(None) == ""


CLIENT_ONLY = """
import sys

for absent in (
    "alembic", "boto3", "casbin", "cryptography", "duckdb", "litestar", "psycopg",
    "python_calamine", "rfc8785", "simpleeval", "sqlalchemy", "uvicorn",
):
    sys.modules[absent] = None
from marketplace.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["datasets", "--url", UNUSED_PORT], 8, "No answer"),
        (["--help"], 0, ""),
        (["serve"], 2, "pip install 'data-marketplace[server]'"),
        (["demo"], 2, "pip install 'data-marketplace[server]'"),
        (["audit", "verify"], 2, "pip install 'data-marketplace[server]'"),
        (["admin", "person", "list"], 2, "pip install 'data-marketplace[server]'"),
    ],
)
def test_the_clients_commands_run_without_the_service_installed(
    arguments: list[str], exit_code: int, told: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MARKETPLACE_TOKEN", "dmk_something")
    done = subprocess.run(
        [sys.executable, "-c", CLIENT_ONLY, *arguments], capture_output=True, text=True
    )
    assert (done.returncode, "Traceback" in done.stderr) == (exit_code, False), done.stderr
    assert told in done.stderr
