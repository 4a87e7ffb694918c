"""A result relayed as it is made: never held whole, and never ended as if whole when it is not."""

import asyncio
import logging
from contextlib import ExitStack
from typing import Protocol

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from marketplace.api.call import until_gone
from marketplace.api.lanes import Lane
from marketplace.api.outlet import STATE, Outlet, parts_of
from marketplace.engine.query.result_stream import Take

_log = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 0.5


class Deliverable(Protocol):
    """An encoded result on its way. `relay` raises instead of ending where it is not whole.

    `close` stops the work at once, from any thread, also while another waits for the next chunk;
    `stop_if_ended` does where access has ended, and says so.
    """

    def relay(self, take: Take) -> list[bytes]: ...

    def stop_if_ended(self) -> bool: ...

    def close(self) -> None: ...


class Sending(Protocol):
    """How chunks reach the reader: `at_once` sends one in a thread as far as it can and gives copies
    of what is left of it; `later` sends one of those, waiting for the reader without a thread."""

    def at_once(self, chunk: bytes | memoryview) -> list[bytes]: ...

    async def later(self, part: bytes) -> None: ...


class OverServer:
    """Everything through the server, as it must be where it offers no outlet."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def at_once(self, chunk: bytes | memoryview) -> list[bytes]:
        """Nothing is sent; see `Sending`."""
        return parts_of([memoryview(chunk)])

    async def later(self, part: bytes) -> None:
        """See `Sending`."""
        await self._send({"type": "http.response.body", "body": part, "more_body": True})


class ResultResponse(ASGIResponse):
    """Sends chunks as they come, with the waiting done in threads.

    Where a chunk fails after the first byte is out, no status can say so any more. The response
    is then left unfinished, and the server cuts the connection without the closing chunk, which
    every HTTP client tells apart from an end. Where the client goes away, the work is stopped.
    """

    _should_set_content_length = False

    def __init__(
        self,
        delivery: Deliverable,
        *,
        media_type: str,
        status_code: int = 200,
        headers: dict[str, str],
        lane: Lane,
        held: ExitStack,
    ) -> None:
        super().__init__(headers=headers, media_type=media_type, status_code=status_code)
        self._delivery = delivery
        self._lane = lane
        self._held = held
        self._outlet: Outlet | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; whatever happens, the work is stopped and then the place given back."""
        if "content-length" not in self.headers:
            self._outlet = scope["state"].get(STATE)
        with self._held:
            try:
                await super().__call__(scope, receive, send)
            finally:
                await self._lane.run(self._delivery.close)

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Relay until the end, the first failure, the end of access, or the client's leaving."""
        relay = asyncio.create_task(self._relay(send))
        watches = (
            asyncio.create_task(self._stop_when_gone(receive)),
            asyncio.create_task(self._end_with_access(relay)),
        )
        try:
            await asyncio.wait((relay,))
        finally:
            for task in (relay, *watches):
                task.cancel()
        if not relay.cancelled():
            relay.result()

    async def _relay(self, send: Send) -> None:
        try:
            if self._outlet is None:
                await self._send_chunks(OverServer(send))
            else:
                with self._outlet.opened() as outlet:
                    await self._send_chunks(outlet)
        except Exception as error:  # noqa: BLE001 - whatever it was, the result is not whole
            _log.warning("A result was cut: %s", type(error).__name__)
            return
        # Who has read the end may ask again at once, and then finds the place free.
        self._held.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_chunks(self, sending: Sending) -> None:
        pace = self._lane.pace()
        while left := await self._lane.run(self._delivery.relay, sending.at_once):
            for part in left:
                await pace.wait(sending.later(part), size=len(part))

    async def _end_with_access(self, relay: asyncio.Task[None]) -> None:
        """Look from outside too: a reader who takes nothing keeps the relay from looking."""
        while not relay.done():
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            try:
                ended = await self._lane.run(self._delivery.stop_if_ended)
            except Exception:  # noqa: BLE001 - what cannot be asked is not allowed
                _log.exception("It could not be told whether access still stands; a result was cut")
                ended = True
            if ended:
                relay.cancel()

    async def _stop_when_gone(self, receive: Receive) -> None:
        await until_gone(receive)
        await self._lane.run(self._delivery.close)
