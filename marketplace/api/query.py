"""SQL in, the rows and columns agreed out, in the format that the caller accepts."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from litestar import get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response.base import ASGIResponse

from access_policies.vocabulary import Action
from marketplace.api.call import Call, Given, unless_gone
from marketplace.api.lanes import Lane
from marketplace.api.media_types import OFFERS, negotiate
from marketplace.api.parameters import as_arrow
from marketplace.api.read_headers import read_headers
from marketplace.api.result_response import ResultResponse
from marketplace.delivery import Delivery
from marketplace.engine.query.cancellation import Cancellation
from marketplace.identity.principal import Principal
from marketplace.query import Querying
from marketplace.wire import QueryRequest

_MOST_PREVIEWED = 100

_Rows = Annotated[int, QueryParameter(ge=1, le=_MOST_PREVIEWED, description="How many rows.")]

_RESULT = {
    200: ResponseSpec(
        data_container=bytes,
        media_type=next(iter(OFFERS)),
        generate_examples=False,
        description="The result, in the media type that Accept asks for.",
    )
}

# What a connection takes without waiting for its reader, who then needs no place to be waited for in.
_AT_ONCE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Queries:
    """The use case, and the lane that it runs in: one dependency, for Litestar starts a task for each
    of several."""

    querying: Querying
    lane: Lane


def _begin(
    run: Callable[..., Delivery], cancellation: Cancellation
) -> tuple[Delivery, bytes | None]:
    """The result on its way, and all of it where it is small and there. Waits; raises as `run` and as
    the result does."""
    delivery = run(cancellation=cancellation)
    return delivery, delivery.whole(_AT_ONCE)


@post(
    "/query",
    opt={"action": Action.QUERY},
    status_code=200,
    tags=["Use"],
    summary="Query",
    responses=_RESULT,
)
async def run_query(
    data: JSONBody[QueryRequest],
    request: Call,
    queries: Given[Queries],
) -> ASGIResponse:
    """Run one SELECT over the tables that the caller may read, and send the result as it is made.

    The header Accept chooses Arrow (the default), Parquet, CSV, JSON or JSON lines; with `codecs=lz4`
    or `codecs=zstd` on the media type of Arrow its buffers are packed. A statement with `?` or `$1`
    gets its values from `parameters`. Marketplace-Audit-Entry
    names the record of this read, for which a receipt can be had; Marketplace-Releases lists the
    releases it reads; Marketplace-Access-Ends says when access ends by time. A result whose connection ends before its Content-Length, or where it has none without
    the closing chunk, is not whole.
    """
    media_type, output = negotiate(request.headers.get("accept", "*/*"))
    run = partial(
        queries.querying.run,
        request.user,
        data.sql,
        output,
        project=data.project,
        parameters=as_arrow(data.parameters),
    )
    return await _answered(request, queries.lane, run, media_type)


@get(
    "/datasets/{organisation:str}/{dataset:str}/preview",
    opt={"action": Action.PREVIEW},
    tags=["Find"],
    summary="Preview",
    responses=_RESULT,
)
async def preview_table(
    organisation: FromPath[str],
    dataset: FromPath[str],
    request: Call,
    queries: Given[Queries],
    table: FromQuery[str | None] = None,
    rows: _Rows = 10,
) -> ASGIResponse:
    """Send the first rows of a table, as far as they are the caller's to see.

    The table is the dataset's only one unless it is named. Media types and headers are those of a
    query.
    """
    media_type, output = negotiate(request.headers.get("accept", "*/*"))
    named = (organisation, dataset, *([table] if table is not None else []))
    run = partial(queries.querying.preview, request.user, named, rows, output)
    return await _answered(request, queries.lane, run, media_type)


async def _answered(
    request: Call, lane: Lane, run: Callable[..., Delivery], media_type: str
) -> ASGIResponse:
    """The result of a query, stopped where its caller leaves."""
    principal: Principal = request.user
    with ExitStack() as held:
        held.enter_context(lane.place(principal.person_id))
        cancellation = Cancellation()
        answering = lane.run(_begin, run, cancellation)
        delivery, whole = await unless_gone(request.receive, answering, cancellation)
        headers = read_headers(delivery)
        if whole is not None:
            return ASGIResponse(body=whole, media_type=media_type, headers=headers)
        return ResultResponse(
            delivery, media_type=media_type, headers=headers, lane=lane, held=held.pop_all()
        )
