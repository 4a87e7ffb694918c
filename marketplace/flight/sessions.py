"""Sessions: what a client set for its connection, in a sealed cookie that it sends with each call.

One option is known: `catalog`, the organisation that lists are narrowed to where a call names none.
"""

from http.cookies import CookieError, SimpleCookie

from catalogue.address import check_identifier
from catalogue.errors import InvalidAddress
from marketplace.flight import flight_pb2 as core
from marketplace.flight.seal import Seal
from marketplace.flight.sign_in import Call

_COOKIE = "arrow_flight_session_id"
_CATALOG = "catalog"
_PURPOSE = "session"

_Error = core.SetSessionOptionsResult


class Sessions:
    """Reads and makes the cookies."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def catalog(self, call: Call) -> str:
        """The organisation that the caller's session has chosen; none without such a session."""
        try:
            cookie = SimpleCookie(call.cookies).get(_COOKIE)
            sealed = bytes.fromhex(cookie.value) if cookie is not None else b""
        except (CookieError, ValueError):
            return ""
        holder = call.principal.token_id
        return (self._seal.open(sealed, purpose=_PURPOSE, holder=holder) or b"").decode()

    def set(
        self, call: Call, request: core.SetSessionOptionsRequest
    ) -> tuple[core.SetSessionOptionsResult, str | None]:
        """The answer, and the header `set-cookie` where something was set."""
        errors = {
            name: _Error.Error(value=fault)
            for name, value in request.session_options.items()
            if (fault := _fault(name, value)) is not None
        }
        answer = core.SetSessionOptionsResult(errors=errors)
        chosen = request.session_options.get(_CATALOG)
        if chosen is None or _CATALOG in errors:
            return answer, None
        return answer, self._cookie(call, chosen.string_value)

    def options(self, call: Call) -> core.GetSessionOptionsResult:
        """What the caller's session has set."""
        chosen = self.catalog(call)
        value = core.SessionOptionValue(string_value=chosen)
        return core.GetSessionOptionsResult(session_options={_CATALOG: value} if chosen else {})

    def closing(self) -> str:
        """The header `set-cookie` that ends a session."""
        return f"{_COOKIE}=; Max-Age=0"

    def _cookie(self, call: Call, catalog: str) -> str:
        holder = call.principal.token_id
        sealed = self._seal.close(catalog.encode(), purpose=_PURPOSE, holder=holder)
        return f"{_COOKIE}={sealed.hex()}"


def _fault(name: str, value: core.SessionOptionValue) -> _Error.ErrorValue | None:
    if name != _CATALOG:
        return _Error.INVALID_NAME
    if value.WhichOneof("option_value") != "string_value":
        return _Error.INVALID_VALUE
    try:
        check_identifier(value.string_value)
    except InvalidAddress:
        return _Error.INVALID_VALUE if value.string_value else None
    return None
