"""`marketplace audit`: prove that the log is whole."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from marketplace.cli.screen import counting, say, show_json
from marketplace.cli.server_parts import need_server
from marketplace.errors import AuditUnavailable, SettingInvalid

audit = App(name="audit", help="Prove that the audit log is whole.", help_format="markdown")


@audit.command
def verify(
    *,
    data: Annotated[Path | None, Parameter(env_var="MARKETPLACE_DATA")] = None,
    receipt: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Check every entry of the audit log, its tree and its signed checkpoints.

    Ends with exit code 9 where something was changed, removed or put back to an older state; the
    last only shows against a receipt that somebody kept.

    Parameters
    ----------
    data
        The folder of the embedded default; the database may lie elsewhere (MARKETPLACE_DATABASE).
    receipt
        Receipts and checkpoints that readers kept; may be given several times.
    json
        Write JSON.
    """
    need_server()
    from marketplace.audit.checkpoint import open_signer
    from marketplace.audit.log import AuditLog
    from marketplace.database import open_database
    from marketplace.settings import read_settings

    settings = read_settings(data=data)
    kept = [_text(path) for path in receipt]
    if not settings.database and not (settings.data / "marketplace.db").exists():
        raise SettingInvalid(
            f"There is no marketplace in {settings.data}.", next_step="Name its folder with --data."
        )
    database = open_database(settings.database_url)
    try:
        log = AuditLog(database, open_signer(settings.data / "keys", settings.origin))
        with counting("Checking the audit log") as report:
            found = log.verify(kept, progress=report)
    finally:
        database.close()
    if json:
        show_json(found)
    elif found.ok:
        say(f"The audit log is whole: {found.size} entries, every one where it was recorded.")
    if not found.ok:
        raise AuditUnavailable(
            "The audit log does not verify.",
            next_step='Stop the service and follow deploy/RUNBOOK.md, "The audit log does not verify".',
            lines=found.findings,
        )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise SettingInvalid(f"The receipt {path} cannot be read.") from None
