"""HTTP as the client speaks it: one token, problems as exceptions, and no cut answer taken as whole."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Retry, Timeout, Url, parse_url

from marketplace.client.errors import (
    InsecureConnection,
    InvalidCall,
    MarketplaceProblem,
    ServiceUnreachable,
    StreamCut,
)
from marketplace.wire import ProblemDetails

ARROW = "application/vnd.apache.arrow.stream"
_PROBLEM = "application/problem+json"
_CONNECT_SECONDS = 10.0

# A call that reached the service is never sent again by itself: it may have had its effect. A busy
# service is told as such, where urllib3 would wait as it asks, try again, and lose its reason.
_RETRIES = Retry(
    total=2, connect=2, read=0, redirect=0, status=0, other=0, respect_retry_after_header=False
)

_NEVER = Retry(0, redirect=0, respect_retry_after_header=False)

Answer = TypeVar("Answer")


class Body(io.RawIOBase):
    """The bytes of an answer as they come. `read` raises StreamCut instead of ending early."""

    def __init__(
        self, response: urllib3.BaseHTTPResponse, progress: Callable[[int], None] | None = None
    ) -> None:
        self._response = response
        self._progress = progress
        self._received = 0

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers."""
        return self._response.headers

    def readable(self) -> bool:
        """Always, as `io` asks."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end; all that is left for -1."""
        with _cut_is_told():
            data = self._response.read(None if size is None or size < 0 else size)
        self._count(len(data))
        return data

    def read_buffer(self, size: int) -> pa.Buffer:
        """As `read`, into memory of Arrow's own; so Arrow's readers read files that offer it.

        What comes in chunks goes from the socket to where it stays: put together by urllib3 it is
        copied twice, which takes longer than receiving it.
        """
        source = getattr(self._response, "_fp", None)
        if not isinstance(source, HTTPResponse) or not source.chunked:
            return pa.py_buffer(self.read(size))
        buffer = pa.allocate_buffer(size)
        with _cut_is_told():
            count = source.readinto(memoryview(buffer).cast("B"))
        self._count(count)
        return buffer if count == size else buffer.slice(0, count)

    def read_some(self, most: int) -> bytes:
        """What has come, `most` bytes of it at most; waits for the first, and nothing is the end."""
        with _cut_is_told():
            data = self._response.read1(most)
        self._count(len(data))
        return data

    def _count(self, read: int) -> None:
        self._received += read
        if self._progress is not None:
            self._progress(self._received)

    def finish(self) -> None:
        """Read to the end, to know that the service says the answer is whole. Raises StreamCut."""
        while self.read(65536):
            pass

    def close(self) -> None:
        """Let the connection go; the service stops its work where it is still sending."""
        self._response.close()
        super().close()


class Transport:
    """Calls to one service as one person. Safe to share between threads.

    The token is held here only, and shown nowhere.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        project: str | None,
        timeout: float,
        compression: str = "none",
    ) -> None:
        self.url = url.rstrip("/")
        self.project = project
        # A service that does not pack is still understood.
        packed = "" if compression == "none" else f"{ARROW}; codecs={compression}, "
        self.arrow_accepted = f"{packed}{ARROW};q=0.5" if packed else ARROW
        self._token = token
        self._pool = urllib3.PoolManager(
            retries=_RETRIES, timeout=Timeout(connect=_CONNECT_SECONDS, read=timeout)
        )

    def call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: msgspec.Struct | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send a call and decode its JSON answer; text answers as they are, for `str`."""
        with self.open(method, path, body=body, query=query) as stream:
            content = stream.read()
        if answer is str:
            return content.decode()  # type: ignore[return-value]  # Answer is str here
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.DecodeError:
            raise self._no_marketplace() from None

    def open(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json, text/plain",
        headers: Mapping[str, str] | None = None,
        body: msgspec.Struct | None = None,
        query: Mapping[str, Any] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Body:
        """Send a call and return its answer unread. Raises MarketplaceProblem, ServiceUnreachable."""
        said = {"Accept": accept, **(headers or {})}
        encoded = None
        if body is not None:
            encoded = msgspec.json.encode(body)
            said["Content-Type"] = "application/json"
        return Body(self._send(method, path, query, said, encoded, retries=None), progress)

    def upload(
        self,
        path: str,
        chunks: Iterable[bytes],
        answer: type[Answer],
        *,
        query: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> Answer:
        """Send a body of known length piece by piece, and decode the answer. It is never repeated."""
        # The service answers when the whole file was read and checked, which may take long.
        forever = Timeout(connect=_CONNECT_SECONDS, read=None)
        response = self._send("POST", path, query, headers, chunks, retries=_NEVER, timeout=forever)
        with Body(response) as stream:
            return msgspec.json.decode(stream.read(), type=answer)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        **how: Any,
    ) -> urllib3.BaseHTTPResponse:
        if not path.startswith("/"):
            raise InvalidCall("The path of a call begins with a slash.")
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = self.url + path + ("?" + urlencode(given, doseq=True) if given else "")
        try:
            response = self._pool.request(
                method,
                target,
                headers={**headers, **self._credentials()},
                body=body,
                preload_content=False,
                decode_content=False,
                redirect=False,
                **{name: value for name, value in how.items() if value is not None},
            )
        except HTTPError as error:
            raise ServiceUnreachable(
                f"The marketplace at {self.url} does not answer ({type(error).__name__}).",
                next_step="Check the address and your network, then try again.",
            ) from None
        if response.status >= 300:
            raise self._problem(response)
        return response

    def _credentials(self) -> dict[str, str]:
        credentials = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if self.project:
            credentials["Marketplace-Project"] = self.project
        return credentials

    def _problem(self, response: urllib3.BaseHTTPResponse) -> Exception:
        try:
            with _cut_is_told():
                content = response.read()
            details = msgspec.json.decode(content, type=ProblemDetails)
            wait = response.headers.get("Retry-After", "")
            return MarketplaceProblem(details, retry_after=int(wait) if wait.isdecimal() else 0)
        except msgspec.DecodeError:
            return self._no_marketplace(response.status)

    def _no_marketplace(self, status: int = 200) -> ServiceUnreachable:
        return ServiceUnreachable(
            f"What answers at {self.url} does not speak as a marketplace does (status {status}).",
            next_step="Check the address.",
        )


def check_url(url: str, *, token: str, allow_unencrypted: bool) -> None:
    """Refuse an address that is none, that holds a secret, or that would leak the token.

    Raises InvalidCall, InsecureConnection.
    """
    parsed = _parse(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidCall(
            "The address of the marketplace is not a web address.",
            next_step="Write it as https://host or http://127.0.0.1:8400.",
        )
    if parsed.auth:
        raise InvalidCall(
            "The address holds a user name or password.",
            next_step="Leave it out of the address and give the token as token=.",
        )
    if token and parsed.scheme == "http" and not allow_unencrypted and not _loopback(parsed.host):
        raise InsecureConnection(
            f"The token would travel unencrypted to {parsed.host}.",
            next_step="Use https, or say allow_unencrypted=True where the network is your own.",
        )


def is_local(url: str) -> bool:
    """Whether the address is this machine's own."""
    return _loopback(_parse(url).host or "")


def _parse(url: str) -> Url:
    try:
        return parse_url(url)
    except LocationParseError:
        return Url()


def _loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def _cut_is_told() -> Iterator[None]:
    try:
        yield
    except (HTTPError, HTTPException, OSError) as error:
        raise StreamCut(
            f"The connection ended before the whole answer had come ({type(error).__name__}); "
            "what came is not complete and was not kept.",
            next_step="Ask why: if access ended meanwhile, that says so. A result that is too large or "
            "takes too long is cut too: ask for fewer rows or columns before sending it again.",
        ) from None
