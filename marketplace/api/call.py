"""A call as handlers get it, and how they name what the application gives them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import SerializationException
from litestar.params import SkipValidation
from litestar.types import Receive

from marketplace.engine.query.cancellation import Cancellation
from marketplace.errors import RequestMalformed
from marketplace.identity.principal import Principal

T = TypeVar("T")

Given: TypeAlias = SkipValidation[NamedDependency[T]]
"""Something that the application gives every handler by its name; it is ours, so not checked again."""


class Call(Request[Principal, None, State]):
    """A request whose body is told as malformed whatever is wrong with it."""

    async def json(self) -> Any:
        """The body as JSON. Raises SerializationException, also for bytes that are no text and for
        nesting without end, which Litestar lets through as failures of the service."""
        try:
            return await super().json()
        except (UnicodeDecodeError, RecursionError) as error:
            raise SerializationException from error


async def until_gone(receive: Receive) -> None:
    """Wait until the caller has closed the connection, once the call's body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T], stop: Cancellation) -> T:
    """Wait for what the answer begins with, and stop the work where the caller leaves before it."""
    running = asyncio.ensure_future(work)
    gone = asyncio.create_task(until_gone(receive))
    try:
        await asyncio.wait((gone, running), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not running.done():
            stop.cancel()
    return await running


async def refuse_nul(request: Request[Any, Any, Any]) -> None:
    """Raise RequestMalformed for a NUL in an address, which not every database can even look for."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise RequestMalformed(
            "The address of the call holds a NUL character.", next_step="Leave it out."
        )
