"""SQL in, the rows and columns agreed out, in the format that the caller accepts."""

from litestar import post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from access_policies.vocabulary import Action
from marketplace.api.call import Call, Given
from marketplace.api.media_types import MEDIA_TYPES, negotiate
from marketplace.api.result_response import ResultResponse
from marketplace.identity.principal import Principal
from marketplace.query import Querying
from marketplace.wire import QueryRequest

ENTRY_HEADER = "Marketplace-Audit-Entry"
RELEASES_HEADER = "Marketplace-Releases"


@post(
    "/query",
    opt={"action": Action.QUERY},
    status_code=200,
    sync_to_thread=True,
    tags=["Use"],
    summary="Query",
    responses={
        200: ResponseSpec(
            data_container=bytes,
            media_type=next(iter(MEDIA_TYPES)),
            generate_examples=False,
            description="The result, in the media type that Accept asks for.",
        )
    },
)
def run_query(
    data: JSONBody[QueryRequest],
    request: Call,
    principal: Given[Principal],
    querying: Given[Querying],
) -> ResultResponse:
    """Run one SELECT over the tables that the caller may read, and stream the result.

    The header Accept chooses Arrow (the default), Parquet, CSV or JSON. Marketplace-Audit-Entry
    names the record of this read, for which a receipt can be had; Marketplace-Releases lists the
    releases it reads. A result whose connection ends without the closing chunk is not whole.
    """
    media_type, output = negotiate(request.headers.get("accept", "*/*"))
    delivery = querying.run(principal, data.sql, output, project=data.project)
    releases = ", ".join(f"{name}={number}" for name, number in sorted(delivery.releases.items()))
    headers = {ENTRY_HEADER: delivery.entry, RELEASES_HEADER: releases}
    return ResultResponse(delivery, media_type=media_type, headers=headers)
