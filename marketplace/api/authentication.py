"""The one place where a bearer token becomes a principal, and where a route says what it is for."""

import asyncio

from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from access_policies.vocabulary import Action
from marketplace.api.call import Call
from marketplace.errors import Unauthenticated
from marketplace.identity.callers import Callers
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import check_project

PUBLIC = "public"
"""The action of a route that anybody may call. Every other route needs a token."""

SIGNED_IN = "signed_in"
"""The action of a route that tells callers only about themselves, or checks nothing but a token."""

PROJECT_HEADER = "Marketplace-Project"

_RENEWED = frozenset({Action.PREVIEW, Action.QUERY, Action.DOWNLOAD})
"""What every use case renews its caller for, in the transaction that decides and records it."""


class TokenAuthentication(ASGIMiddleware):
    """Puts the principal into the scope as `user`, or refuses the call.

    A route that declares nothing is treated as one that needs a token.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Authenticate unless the route is public; also check the project that a header names."""
        action = scope["route_handler"].opt.get("action")
        if action != PUBLIC:
            request = Call(scope)
            secret = _bearer_token(request.headers.get("authorization", ""))
            principal = self._callers.known(secret) if action in _RENEWED else None
            if principal is None:
                principal = await asyncio.to_thread(self._callers.authenticate, secret)
            check_project(principal, request.headers.get(PROJECT_HEADER))
            scope["user"] = principal
        await next_app(scope, receive, send)


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
