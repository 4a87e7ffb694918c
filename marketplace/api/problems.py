"""Every error as RFC 9457 problem details, made in one place from the one table of answers."""

import logging
import re
from typing import Any
from uuid import uuid4

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from marketplace.errors import (
    UNEXPECTED,
    Answer,
    RangeUnsatisfiable,
    RequestMalformed,
    answer_for,
)
from marketplace.wire import ProblemDetails

_log = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"

# What a caller should wait before the same call may succeed, where the error does not know.
_RETRY_AFTER_SECONDS = 5

# What the framework itself refuses, before any use case is reached.
_PROTOCOL_FAULTS = {
    404: ("no-such-page", "No such page", "Every path is listed at /docs."),
    405: ("method-not-allowed", "Method not allowed", "The methods are listed at /docs."),
    413: ("request-too-large", "Request too large", "Send a smaller request."),
}


def tell(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a call that failed. What nobody foresaw is logged, and told without any detail."""
    instance = f"urn:uuid:{uuid4()}"
    details = problem_details(error, instance)
    if details.status >= 500:
        _log_fault(request, error, details)
    return Response(
        msgspec.json.encode(details),
        status_code=details.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=_headers(request, error, details.status),
    )


def problem_details(error: Exception, instance: str) -> ProblemDetails:
    """What may be told of an error, under the identifier that the log knows it by."""
    if isinstance(error, HTTPException) and error.status_code in _PROTOCOL_FAULTS:
        return _protocol_fault(error, instance)
    if isinstance(error, HTTPException) and error.status_code < 500:
        error = _malformed(error)
    answer = answer_for(error)
    if answer is UNEXPECTED:
        return _unexpected(answer, instance)
    return ProblemDetails(
        type=f"/problems/{slug(type(error))}",
        title=answer.title,
        status=answer.status,
        detail=str(error),
        instance=instance,
        next_step=getattr(error, "next_step", ""),
        lines=getattr(error, "lines", ()),
        exit_code=answer.exit_code,
    )


def slug(kind: type[Exception]) -> str:
    """The name of a class of errors as it stands in a problem's type.

    >>> slug(RequestMalformed)
    'request-malformed'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


def _protocol_fault(error: HTTPException, instance: str) -> ProblemDetails:
    name, title, next_step = _PROTOCOL_FAULTS[error.status_code]
    return ProblemDetails(
        type=f"/problems/{name}",
        title=title,
        status=error.status_code,
        detail=f"{title} here.",
        instance=instance,
        next_step=next_step,
        exit_code=2,
    )


def _malformed(error: HTTPException) -> RequestMalformed:
    faults = error.extra if isinstance(error, ValidationException) else None
    lines = [
        f"{fault.get('key', 'request')}: {fault.get('message', '')}"
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict)
    ]
    return RequestMalformed(
        "The call does not have the form that this address expects.",
        next_step="Compare it with the description at /docs.",
        lines=lines,
    )


def _unexpected(answer: Answer, instance: str) -> ProblemDetails:
    return ProblemDetails(
        type="/problems/unexpected",
        title=answer.title,
        status=answer.status,
        detail="The service failed in a way that was not foreseen.",
        instance=instance,
        next_step=f"Try again; if it stays so, tell the operator {instance}.",
        exit_code=answer.exit_code,
    )


def _log_fault(request: Request[Any, Any, Any], error: Exception, details: ProblemDetails) -> None:
    # A foreseen fault is told by its sentence; only an unforeseen one needs its traceback.
    unforeseen = error if answer_for(error) is UNEXPECTED else None
    _log.error(
        "%s %s answered %d %s: %s (%s)",
        request.method,
        request.url.path,
        details.status,
        type(error).__name__,
        details.detail,
        details.instance,
        exc_info=unforeseen,
    )


def _headers(request: Request[Any, Any, Any], error: Exception, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == 401:
        sent = "authorization" in request.headers
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if sent else "Bearer"
    if status == 503:
        headers["Retry-After"] = str(getattr(error, "retry_after", _RETRY_AFTER_SECONDS))
    if isinstance(error, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if status == 405 and isinstance(error, HTTPException):
        headers.update(error.headers or {})
    return headers
