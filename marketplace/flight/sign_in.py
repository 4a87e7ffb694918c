"""Where every call to the Flight exit begins: a token becomes a principal, or the call is refused."""

import base64
import binascii
from contextlib import ExitStack
from typing import Any

from pyarrow import flight

from marketplace.errors import Unauthenticated
from marketplace.flight.failures import guarded
from marketplace.identity.callers import Callers
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import check_project

CALL = "call"
"""The name under which a handler finds the `Call` that it answers."""

_PROJECT_HEADER = "marketplace-project"

_HOW_TO_SIGN_IN = (
    "Send the header authorization: Bearer <token>, or sign in with any user name and the token "
    "as password. Tokens are issued by an operator."
)


class Call(flight.ServerMiddleware):  # type: ignore[misc]
    """One call and whose it is; what it holds is let go when gRPC is done with it.

    `cookies` is what the caller sent of them, as text.
    """

    def __init__(
        self, principal: Principal | Unauthenticated, *, reply: dict[str, str], cookies: str
    ) -> None:
        self.cookies = cookies
        self.held = ExitStack()
        self._principal = principal
        self._reply = reply

    @property
    def principal(self) -> Principal:
        """Whose the call is. Raises Unauthenticated where that is nobody."""
        if isinstance(self._principal, Unauthenticated):
            raise self._principal
        return self._principal

    def sending_headers(self) -> dict[str, str]:
        """The bearer token, in answer to a handshake."""
        return self._reply

    def call_completed(self, exception: Exception | None) -> None:  # noqa: ARG002 - pyarrow's form
        """Let go of what the call held; nothing of the call may be asked after this."""
        self.held.close()


class SignIn(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Authenticates every call, the handshake included, before its handler sees it.

    Of an action only its handler knows which it is, and a client whose token has ended may still
    close what it opened: there the refusal waits in the call for whoever asks whose it is.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    @guarded
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> Call:
        """The call as its caller's. Raises FlightUnauthenticatedError, FlightUnauthorizedError."""
        try:
            return self._signed_in(info, headers)
        except Unauthenticated as refusal:
            if info.method != flight.FlightMethod.DO_ACTION:
                raise
            return Call(refusal, reply={}, cookies="")

    def _signed_in(self, info: Any, headers: dict[str, list[str]]) -> Call:
        secret = _secret(_only(headers, "authorization"))
        shaking_hands = info.method == flight.FlightMethod.HANDSHAKE
        # What is read or listed renews its principal in the transaction that decides, so that a
        # caller known from a moment ago may be taken for it; whoever signs in is looked up.
        known = None if shaking_hands else self._callers.known(secret)
        principal = known or self._callers.authenticate(secret)
        check_project(principal, _only(headers, _PROJECT_HEADER) or None)
        return Call(
            principal,
            reply={"authorization": f"Bearer {secret}"} if shaking_hands else {},
            cookies="; ".join(headers.get("cookie", ())),
        )


class AcceptHandshakes(flight.ServerAuthHandler):  # type: ignore[misc]
    """Lets handshakes be answered at all; `SignIn` has checked the caller before."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Nothing is left to say: the bearer token goes out as a header."""

    def is_valid(self, token: bytes) -> str:  # noqa: ARG002 - pyarrow's form
        """No identity but the principal's is used."""
        return ""


def _only(headers: dict[str, list[str]], name: str) -> str:
    values = headers.get(name, [])
    if len(values) > 1:
        raise Unauthenticated(f"The call has the header {name} twice.", next_step=_HOW_TO_SIGN_IN)
    return values[0] if values else ""


def _secret(header: str) -> str:
    scheme, _, credentials = header.strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "basic":
        credentials = _password(credentials)
    elif scheme.lower() != "bearer":
        credentials = ""
    if not credentials:
        raise Unauthenticated("The call carries no token.", next_step=_HOW_TO_SIGN_IN)
    return credentials


def _password(encoded: str) -> str:
    """The password of Basic credentials; the user name says nothing that the token does not."""
    padding = "=" * (-len(encoded) % 4)  # which some clients leave out
    try:
        text = base64.b64decode(encoded + padding, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return text.partition(":")[2]
