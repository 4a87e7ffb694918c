"""A call as handlers get it, and how they name what the application gives them."""

import asyncio
from collections.abc import Awaitable
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


async def unless_gone(receive: Receive, work: Awaitable[T], stop: Cancellation) -> T:
    """Wait for what the answer begins with, and stop the work where the caller leaves before it."""
    watch = asyncio.create_task(_stop_when_gone(receive, stop))
    try:
        return await work
    except asyncio.CancelledError:
        stop.cancel()
        raise
    finally:
        watch.cancel()


async def _stop_when_gone(receive: Receive, stop: Cancellation) -> None:
    await until_gone(receive)
    stop.cancel()


async def refuse_nul(request: Request[Any, Any, Any]) -> None:
    """Raise RequestMalformed for a NUL in an address, which not every database can even look for."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise RequestMalformed(
            "The address of the call holds a NUL character.", next_step="Leave it out."
        )
