"""Whom a token stands for, asked of the database or known from a moment ago."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import Unauthenticated
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import authenticate, digest_of, note_use

# How exactly it is known when a token was last used, and how long one is known without asking.
_NOTE_EVERY = timedelta(minutes=1)

_MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class _Known:
    """A principal, when the database was last asked for them, and when their use was last noted."""

    principal: Principal
    asked_at: datetime
    noted_at: datetime


class Callers:
    """Turns tokens into principals. Safe to share between threads; keeps no token, only its hash."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._guard = Lock()

    def authenticate(self, secret: str) -> Principal:
        """The principal that a token stands for now. Raises Unauthenticated."""
        now = self._clock()
        digest = digest_of(secret)
        try:
            with self._database.reading() as connection:
                principal = authenticate(connection, secret, now=now)
        except Unauthenticated:
            self._forget(digest)
            raise
        if self._keep(digest, principal, now):
            with self._database.writing() as connection:
                note_use(connection, principal.token_id, now=now)
        return principal

    def known(self, secret: str) -> Principal | None:
        """The principal that a token stood for less than a minute ago, without any waiting.

        Only for use cases that renew the principal in the transaction in which they decide: the
        token may have been revoked since.
        """
        now = self._clock()
        with self._guard:
            known = self._known.get(digest_of(secret))
        if known is None or not known.asked_at <= now < known.principal.changes_at:
            return None
        return known.principal if now - known.asked_at < _NOTE_EVERY else None

    def _keep(self, digest: str, principal: Principal, now: datetime) -> bool:
        """Remember the principal; returns whether it is time to note that the token is used."""
        with self._guard:
            before = self._known.pop(digest, None)
            recent = before is not None and now - before.noted_at < _NOTE_EVERY
            noted_at = before.noted_at if before is not None and recent else now
            self._known[digest] = _Known(principal, asked_at=now, noted_at=noted_at)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return not recent

    def _forget(self, digest: str) -> None:
        with self._guard:
            self._known.pop(digest, None)
