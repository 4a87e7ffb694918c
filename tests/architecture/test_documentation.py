"""What the documents show is there: commands parse, targets exist, variables are read."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.cli.application import application
from marketplace.settings import Settings

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()
)
ROOMS = ("access_policies", "catalogue", "connectors", "marketplace", "tests", "deploy")
OTHER_VARIABLES = {
    "MARKETPLACE_URL",
    "MARKETPLACE_TOKEN",
    "MARKETPLACE_PROJECT",
    "MARKETPLACE_TRACEBACK",
    "MARKETPLACE_SHARED",
}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(document: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of a document in one of the languages."""
    for match in _BLOCK.finditer((REPOSITORY / document).read_text()):
        if match[1] in languages:
            yield match[2]


def commands(document: Path) -> Iterator[str]:
    """Every line of the document's shell blocks, continued lines joined, comments left out."""
    for block in blocks(document, "bash", "sh", "shell"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.strip()


def shown(program: str) -> list[str]:
    """Every shown call of a program, wherever it lies."""
    found = [line for document in DOCUMENTS for line in commands(document)]
    return [line for line in found if shlex.split(line)[0].rpartition("/")[2] == program]


def targets() -> dict[str, str]:
    """The Makefile's targets that `make help` lists, with what they need."""
    text = (REPOSITORY / "Makefile").read_text()
    return dict(re.findall(r"^([a-z]+):(.*)## ", text, re.MULTILINE))


def test_the_documents_show_commands_at_all():
    assert len(shown("marketplace")) > 5
    assert {"make demo", "make test", "make serve"} <= set(shown("make"))


@pytest.mark.parametrize("command", shown("marketplace"))
def test_every_command_that_is_shown_parses(command: str):
    application().parse_args(
        shlex.split(command, comments=True)[1:], exit_on_error=False, print_error=False
    )


def test_every_make_target_that_is_shown_exists_and_is_listed_by_help():
    wanted = {word for line in shown("make") for word in shlex.split(line)[1:] if "=" not in word}
    assert wanted <= set(targets())


def test_make_help_lists_every_target_with_a_sentence():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    phony = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert {line.split()[0] for line in listed} == set(phony[1].split())
    assert all(len(line.split()) > 2 for line in listed)


def test_the_readme_begins_with_the_demo_and_then_the_tests():
    assert list(commands(Path("README.md")))[:2] == ["make demo", "make test"]


def test_ci_runs_exactly_what_make_check_runs():
    script = (REPOSITORY / ".ci" / "run").read_text()
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == targets()["check"].split()


def test_every_variable_that_is_named_is_read():
    known = {f"MARKETPLACE_{name.upper()}" for name in Settings.__struct_fields__}
    named = {
        (variable, str(document))
        for document in DOCUMENTS
        for variable in re.findall(r"MARKETPLACE_[A-Z0-9_]+", (REPOSITORY / document).read_text())
    }
    unknown = {(variable, document) for variable, document in named if variable not in known}
    assert {variable for variable, _ in unknown} <= OTHER_VARIABLES, unknown


def test_every_python_example_compiles():
    for document in DOCUMENTS:
        for block in blocks(document, "python"):
            compile(block, str(document), "exec")


def test_every_link_to_a_file_leads_to_one():
    for document in DOCUMENTS:
        text = (REPOSITORY / document).read_text()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (REPOSITORY / document.parent / link).exists(), (document, link)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_is(room: str):
    assert (REPOSITORY / room / "README.md").is_file()


def test_the_demo_data_names_its_publishers_and_its_licence():
    folder = REPOSITORY / "marketplace" / "demo" / "data"
    text = (folder / "README.md").read_text()
    assert "Open Government Licence v3.0" in text
    for file in folder.iterdir():
        assert file.name == "README.md" or f"`{file.name}`" in text


def test_the_places_that_contributing_points_to_exist():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    _, _, table = text.partition("## Where to look")
    table = table.partition("\n## ")[0]
    named = re.findall(r"`([a-z_]+/[a-z_/.]+)`", table)
    assert len(named) > 8
    assert [name for name in named if not (REPOSITORY / name).is_file()] == []
