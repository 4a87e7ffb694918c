"""Every error as Arrow Flight tells it, made in one place from the one table of answers."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from pyarrow import flight

from marketplace.errors import UNEXPECTED, FlightStatus, answer_for

_log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

# gRPC sends the text in headers, of which clients take 8 KiB in all, twice and in their own coding.
_LONGEST_TEXT = 2000

_KINDS: dict[FlightStatus, type[flight.FlightError]] = {
    FlightStatus.FAILED: flight.FlightServerError,
    FlightStatus.UNAUTHENTICATED: flight.FlightUnauthenticatedError,
    FlightStatus.UNAUTHORIZED: flight.FlightUnauthorizedError,
    FlightStatus.TIMED_OUT: flight.FlightTimedOutError,
    FlightStatus.UNAVAILABLE: flight.FlightUnavailableError,
    FlightStatus.INTERNAL: flight.FlightInternalError,
}


def told(error: Exception) -> flight.FlightError:
    """The error with what, why and what to do in one text. What nobody foresaw is logged."""
    answer = answer_for(error)
    if answer is UNEXPECTED:
        return _unforeseen(error)
    parts = (str(error), *getattr(error, "lines", ()), getattr(error, "next_step", ""))
    text = f"{answer.title}: {' '.join(part for part in parts if part)}"
    if answer.status >= 500:
        _log.error("A call over Flight failed: %s: %s", type(error).__name__, error)
    # pyarrow goes on with a full stop and the name of the status.
    return _KINDS[answer.flight](text[:_LONGEST_TEXT].rstrip("."))


def guarded(handler: Callable[P, T]) -> Callable[P, T]:
    """Let a handler raise nothing but Flight's own errors: of any other, pyarrow sends the traceback."""

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it was, its traceback stays here
            raise told(error) from None

    # What GetSchema raises pyarrow sends with its traceback, whatever it is. This one frame is all
    # of it, and must not say where on this machine the code lies.
    _forget_place(call)
    return call


def _forget_place(function: Any) -> None:
    function.__code__ = function.__code__.replace(co_filename=__name__)


def _unforeseen(error: Exception) -> flight.FlightError:
    instance = f"urn:uuid:{uuid4()}"
    _log.error("A call over Flight failed (%s)", instance, exc_info=error)
    return flight.FlightInternalError(
        "Unexpected error: The service failed in a way that was not foreseen. Try again; if it "
        f"stays so, tell the operator {instance}"
    )
