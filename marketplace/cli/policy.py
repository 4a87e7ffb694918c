"""`marketplace policy`: policy as files that people review."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.screen import Json, say, show_json, show_table
from marketplace.errors import SettingInvalid
from marketplace.wire import PolicyDifference, PolicyFinding

policy = App(
    name="policy",
    help="Write policy out as text, name what is odd about it, see what a file changes and apply it.",
    help_format="markdown",
)


@policy.command
def export(*organisations: str, into: Path | None = None, service: Service = SERVICE) -> None:
    """Write out what stands over the datasets of organisations, as TOML that can be reviewed.

    Parameters
    ----------
    organisations
        Their names; `*` for what stands over the whole marketplace.
    into
        A folder for one file each; else it is printed.
    """
    with service.client() as client:
        for organisation in organisations:
            text = client.policy(organisation)
            if into is None:
                for line in text.splitlines():
                    say(line)
                continue
            into.mkdir(parents=True, exist_ok=True)
            path = into / ("marketplace.toml" if organisation == "*" else f"{organisation}.toml")
            path.write_text(text)
            say(f"{path} is written.")


@policy.command
def check(organisation: str, /, *, json: Json = False, service: Service = SERVICE) -> None:
    """Name the rules that can do nothing, and those that open more than is usual.

    Parameters
    ----------
    organisation
        Its name; `*` for what stands over the whole marketplace.
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.policy_findings(organisation)
    if json:
        show_json(found)
    else:
        _show_findings(found)


@policy.command
def diff(file: Path, /, *, json: Json = False, service: Service = SERVICE) -> None:
    """Show what a policy file changes of what it was written from, and what is odd in the file.

    Parameters
    ----------
    file
        A file as `marketplace policy export` writes it.
    json
        Write JSON.
    """
    with service.client() as client:
        review = client.review_policy(_text(file))
    if json:
        show_json(review)
        return
    if not review.differences:
        say("The file changes nothing.")
    _show_differences(review.differences)
    _show_findings(review.findings)


@policy.command(name="apply")
def apply_file(
    file: Path,
    /,
    *,
    reason: str,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Make every change of a policy file at once, each as you may make it by its own command.

    What you may not, or no file can, is named by its line, and then nothing is changed. See it
    first with --dry-run.

    Parameters
    ----------
    file
        A file as `marketplace policy export` writes it, edited.
    reason
        Why; it is kept with each change.
    dry_run
        Try it and say what would change; nothing is kept.
    json
        Write JSON.
    """
    with service.client() as client:
        applied = client.apply_policy(_text(file), reason, dry_run=dry_run)
    if json:
        show_json(applied)
        return
    if not applied.differences:
        say("The file changes nothing.")
        return
    _show_differences(applied.differences)
    if dry_run:
        say("All of it can be applied; nothing was changed.")
    else:
        say(f"It is applied: the policy is at revision {applied.revision}.")


def _show_differences(found: tuple[PolicyDifference, ...]) -> None:
    if not found:
        return
    rows = [
        (
            one.change,
            one.place,
            one.grant,
            f"Somebody else has changed it since. {one.sentence}" if one.outdated else one.sentence,
        )
        for one in found
    ]
    show_table(("change", "where", "grant", "what"), rows)


def _show_findings(found: list[PolicyFinding] | tuple[PolicyFinding, ...]) -> None:
    if not found:
        say("Nothing about the rules is odd.")
        return
    show_table(("fault", "what"), [(one.fault, one.sentence) for one in found])


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"The file {file} cannot be read.", next_step="Name a policy file in UTF-8."
        ) from error
