"""The one place where a bearer token becomes a principal, and where a route says what it is for."""

import asyncio
from datetime import datetime, timedelta

from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from marketplace.api.call import Call
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import Unauthenticated
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import authenticate, check_project, note_use

PUBLIC = "public"
"""The action of a route that anybody may call. Every other route needs a token."""

SIGNED_IN = "signed_in"
"""The action of a route that tells callers only about themselves, or checks nothing but a token."""

PROJECT_HEADER = "Marketplace-Project"

_NOTE_EVERY = timedelta(minutes=1)


class TokenAuthentication(ASGIMiddleware):
    """Puts the principal into the scope as `user`, or refuses the call.

    A route that declares nothing is treated as one that needs a token.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._noted: dict[str, datetime] = {}

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Authenticate unless the route is public; also check the project that a header names."""
        if scope["route_handler"].opt.get("action") != PUBLIC:
            request = Call(scope)
            secret = _bearer_token(request.headers.get("authorization", ""))
            project = request.headers.get(PROJECT_HEADER)
            scope["user"] = await asyncio.to_thread(self._authenticate, secret, project)
        await next_app(scope, receive, send)

    def _authenticate(self, secret: str, project: str | None) -> Principal:
        with self._database.reading() as connection:
            principal = authenticate(connection, secret, now=self._clock())
        check_project(principal, project)
        self._note_use(principal)
        return principal

    def _note_use(self, principal: Principal) -> None:
        """Keep when each token was last used, without a write for every call."""
        now = self._clock()
        noted = self._noted.get(principal.token_id)
        if noted is None or now - noted >= _NOTE_EVERY:
            with self._database.writing() as connection:
                note_use(connection, principal.token_id, now=now)
            self._noted[principal.token_id] = now


def caller(request: Call) -> Principal:
    """The principal that the call was authenticated as; a dependency of every handler."""
    return request.user


def _bearer_token(header: str) -> str:
    scheme, _, secret = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated(
            "The call carries no token.",
            next_step="Send the header Authorization: Bearer <token>. Tokens are issued by an operator.",
        )
    return secret.strip()
