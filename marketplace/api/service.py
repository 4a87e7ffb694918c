"""How the service is, and whom it takes the caller for."""

import logging
from collections.abc import Callable
from contextlib import suppress

from litestar import Response, get
from sqlalchemy import text

from catalogue.errors import ObjectMissing
from marketplace.api.authentication import PUBLIC, SIGNED_IN
from marketplace.api.call import Given
from marketplace.bootstrap import Marketplace
from marketplace.engine.confinement import landlock_version
from marketplace.identity.principal import Principal
from marketplace.wire import Caller, Health

_log = logging.getLogger(__name__)


@get("/health", opt={"action": PUBLIC}, sync_to_thread=True, tags=["Service"])
def report_health(marketplace: Given[Marketplace]) -> Response[Health]:
    """Say whether the database, the object store, the audit log and confinement are well.

    Answers 200 where the service can do its work and 503 where it can not. Reasons stand in the
    service's log, since anybody may ask.
    """
    parts = {
        "database": _state(lambda: _touch_database(marketplace)),
        "store": _state(lambda: _touch_store(marketplace)),
        "audit": "failing" if marketplace.audit.fault else "ok",
        "confinement": "ok" if landlock_version() else "missing",
    }
    tolerated = {"ok"} if marketplace.settings.require_confinement else {"ok", "missing"}
    well = tolerated.issuperset(parts.values())
    return Response(
        Health(status="ok" if well else "failing", parts=parts), status_code=200 if well else 503
    )


@get("/me", opt={"action": SIGNED_IN}, sync_to_thread=False, tags=["Service"])
def describe_caller(principal: Given[Principal]) -> Caller:
    """Say whom the token speaks for."""
    return Caller(
        name=principal.person_name,
        project=principal.project,
        purpose=principal.project_purpose,
        role=principal.role,
        organisation=principal.organisation,
        audience=principal.subject.audience.name.lower(),
        valid_until=principal.valid_until,
    )


def _state(touch: Callable[[], None]) -> str:
    try:
        touch()
    except Exception:  # noqa: BLE001 - whatever it was, that part is not well
        _log.exception("A part of the service does not answer")
        return "failing"
    return "ok"


def _touch_database(marketplace: Marketplace) -> None:
    with marketplace.database.reading() as connection:
        connection.execute(text("SELECT 1"))


def _touch_store(marketplace: Marketplace) -> None:
    with suppress(ObjectMissing):
        marketplace.store.stat("health")
