"""`marketplace audit`: prove that the log is whole, and erase personal details from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from marketplace.cli.operators import (
    OPERATOR,
    Operator,
    marketplace_exists,
    no_marketplace,
)
from marketplace.cli.screen import Json, counting, say, show_json
from marketplace.cli.server_parts import need_server
from marketplace.clock import system_clock
from marketplace.errors import AuditUnavailable, SettingInvalid

if TYPE_CHECKING:
    from marketplace.database import Database
    from marketplace.settings import Settings

Files = Annotated[tuple[Path, ...], Parameter(negative=())]

audit = App(
    name="audit",
    help="Prove that the audit log is whole, or erase personal details from it.",
    help_format="markdown",
)


@audit.command
def verify(
    *,
    receipt: Files = (),
    public_key: Files = (),
    json: Json = False,
    operator: Operator = OPERATOR,
) -> None:
    """Check every entry of the audit log, its tree and its signed checkpoints.

    Ends with exit code 9 where something was changed, removed or put back to an older state; the
    last only shows against a receipt or checkpoint that somebody kept. Needs no private key, so a
    copy of the database can be checked anywhere. Where the private key lies beside the log, and so it
    is no copy, a failure is recorded in it and counts as an incident.

    Parameters
    ----------
    receipt
        Receipts and checkpoints that were kept; may be given several times.
    public_key
        The log's public keys (keys/audit.pub in the data folder unless given).
    json
        Write JSON.
    """
    need_server()
    from marketplace.audit.checkpoint import holds_signer, read_public_keys
    from marketplace.audit.verification import record_failure
    from marketplace.audit.verification import verify as verify_log

    with _opened(operator.data) as (settings, database):
        files = public_key or (settings.data / "keys" / "audit.pub",)
        keys = [key for path in files for key in read_public_keys(path)]
        with counting("Checking the audit log") as report:
            found = verify_log(database, keys, [_text(path) for path in receipt], progress=report)
        if not found.ok and holds_signer(settings.data / "keys"):
            record_failure(database, found, by=operator.name, now=system_clock())
    if json:
        show_json(found)
    elif found.ok:
        say(f"The audit log is whole: {found.size:,} entries, each as and where it was recorded.")
        if found.pending:
            say(f"{found.pending:,} more wait for their place; the running service gives it.")
    if not found.ok:
        raise AuditUnavailable(
            "The audit log does not verify.",
            next_step='Stop the service and follow deploy/RUNBOOK.md, "The audit log does not verify".',
            lines=found.findings,
        )


@audit.command
def erase(entry: str, /, *, reason: str, operator: Operator = OPERATOR) -> None:
    """Delete the personal details of an entry for good; that it was done, and why, is recorded.

    Parameters
    ----------
    entry
        The identifier of the entry.
    reason
        Why; it stands in the log for good, so name nobody.
    """
    need_server()
    from marketplace.audit.entries import erase as erase_details

    with _opened(operator.data) as (_, database), database.writing() as connection:
        why = f"{reason} ({operator.name})"
        erasure = erase_details(connection, entry, reason=why, now=system_clock())
    say(f"The details are erased; the entry {erasure} says so.")


@contextmanager
def _opened(data: Path | None) -> "Iterator[tuple[Settings, Database]]":
    from marketplace.database import open_database
    from marketplace.settings import read_settings

    settings = read_settings(data=data)
    if not marketplace_exists(settings):
        raise no_marketplace(settings)
    database = open_database(settings.database_url)
    try:
        yield settings, database
    finally:
        database.close()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise SettingInvalid(
            f"The receipt {path} cannot be read.", next_step="Name a file that holds a receipt."
        ) from None
