"""SQL in, the rows and columns agreed out, in the format that the caller accepts."""

from contextlib import ExitStack

from litestar import post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from access_policies.vocabulary import Action
from marketplace.api.call import Call, Given, unless_gone
from marketplace.api.lanes import Lane
from marketplace.api.media_types import OFFERS, negotiate
from marketplace.api.parameters import as_arrow
from marketplace.api.read_headers import read_headers
from marketplace.api.result_response import ResultResponse
from marketplace.engine.query.cancellation import Cancellation
from marketplace.identity.principal import Principal
from marketplace.query import Querying
from marketplace.wire import QueryRequest


@post(
    "/query",
    opt={"action": Action.QUERY},
    status_code=200,
    tags=["Use"],
    summary="Query",
    responses={
        200: ResponseSpec(
            data_container=bytes,
            media_type=next(iter(OFFERS)),
            generate_examples=False,
            description="The result, in the media type that Accept asks for.",
        )
    },
)
async def run_query(
    data: JSONBody[QueryRequest],
    request: Call,
    principal: Given[Principal],
    querying: Given[Querying],
    queries: Given[Lane],
) -> ResultResponse:
    """Run one SELECT over the tables that the caller may read, and stream the result.

    The header Accept chooses Arrow (the default), Parquet, CSV, JSON or JSON lines; with `codecs=lz4`
    or `codecs=zstd` on the media type of Arrow its buffers are packed. A statement with `?` or `$1`
    gets its values from `parameters`. Marketplace-Audit-Entry
    names the record of this read, for which a receipt can be had; Marketplace-Releases lists the
    releases it reads. A result whose connection ends without the closing chunk is not whole.
    """
    media_type, output = negotiate(request.headers.get("accept", "*/*"))
    with ExitStack() as held:
        held.enter_context(queries.place(principal.person_id))
        cancellation = Cancellation()
        running = queries.run(
            querying.run,
            principal,
            data.sql,
            output,
            project=data.project,
            parameters=as_arrow(data.parameters),
            cancellation=cancellation,
        )
        delivery = await unless_gone(request.receive, running, cancellation)
        return ResultResponse(
            delivery,
            media_type=media_type,
            headers=read_headers(delivery),
            lane=queries,
            held=held.pop_all(),
        )
