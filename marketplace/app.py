"""The marketplace as an ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Message, Scope

from marketplace.admission import Admission
from marketplace.api.audit import read_checkpoint, read_receipt
from marketplace.api.authentication import PUBLIC, TokenAuthentication, caller
from marketplace.api.call import Call, refuse_nul
from marketplace.api.datasets import (
    describe_dataset,
    describe_release,
    list_releases,
    search_datasets,
)
from marketplace.api.documentation import (
    describe_api,
    explain_problem,
    lead_to_description,
    list_problems,
)
from marketplace.api.downloads import list_files, send_file
from marketplace.api.lanes import Lane
from marketplace.api.oversight import list_changes, list_readable, list_readers
from marketplace.api.policy import apply_policy, export_policy, lint_policy, review_policy
from marketplace.api.problems import tell
from marketplace.api.publishing import publish_release
from marketplace.api.query import Queries, preview_table, run_query
from marketplace.api.rollout import (
    confirm_move,
    describe_rollout,
    invite_party,
    list_pairs,
    list_proposals,
    preview_move,
    propose_move,
    undo_move,
    withdraw_invitation,
    withdraw_move,
)
from marketplace.api.service import describe_caller, report_health
from marketplace.api.sharing import (
    approve_request,
    cancel_request,
    describe_request,
    explain_access,
    extend_agreement,
    list_agreements,
    list_requests,
    reject_request,
    return_request,
    revoke_agreement,
    submit_request,
    submit_request_again,
    take_up_request,
)
from marketplace.api.staff import appoint, dismiss, list_staff, register_person
from marketplace.api.standing import (
    end_stop,
    list_offers,
    list_stops,
    make_offer,
    make_stop,
    withdraw_offer,
)
from marketplace.bootstrap import Marketplace
from marketplace.settings import Settings

# A call that is not an upload is a statement or a form.
_LARGEST_REQUEST = 1024 * 1024

# For signing in, health and every other call that waits for nothing but the database.
_SHORT_CALL_THREADS = 32

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


_VERSION_1 = (
    run_query,
    preview_table,
    search_datasets,
    describe_dataset,
    list_releases,
    describe_release,
    list_files,
    send_file,
    publish_release,
    submit_request,
    submit_request_again,
    list_requests,
    describe_request,
    take_up_request,
    return_request,
    reject_request,
    cancel_request,
    approve_request,
    list_agreements,
    revoke_agreement,
    extend_agreement,
    make_offer,
    list_offers,
    withdraw_offer,
    make_stop,
    list_stops,
    end_stop,
    register_person,
    list_staff,
    appoint,
    dismiss,
    explain_access,
    list_readers,
    list_readable,
    list_changes,
    describe_rollout,
    list_proposals,
    preview_move,
    list_pairs,
    propose_move,
    confirm_move,
    withdraw_move,
    undo_move,
    invite_party,
    withdraw_invitation,
    export_policy,
    lint_policy,
    review_policy,
    apply_policy,
    read_checkpoint,
    read_receipt,
    describe_caller,
)
_UNVERSIONED = (report_health, lead_to_description, describe_api, list_problems, explain_problem)


def create_app(marketplace: Marketplace) -> Litestar:
    """Put the HTTP protocol around a marketplace, which stays its caller's to close."""
    settings = marketplace.settings
    queries, uploads, transfers = _lanes(settings)
    return Litestar(
        route_handlers=[Router("/api/v1", route_handlers=_VERSION_1), *_UNVERSIONED],
        dependencies={
            "principal": Provide(caller, sync_to_thread=False),
            "marketplace": Provide(lambda: marketplace, sync_to_thread=False),
            "downloads": Provide(lambda: marketplace.downloads, sync_to_thread=False),
            "discovery": Provide(lambda: marketplace.discovery, sync_to_thread=False),
            "sharing": Provide(lambda: marketplace.sharing, sync_to_thread=False),
            "queries": Provide(
                lambda: Queries(marketplace.querying, queries), sync_to_thread=False
            ),
            "uploads": Provide(lambda: uploads, sync_to_thread=False),
            "transfers": Provide(lambda: transfers, sync_to_thread=False),
        },
        middleware=[TokenAuthentication(marketplace.callers)],
        exception_handlers={Exception: tell},
        before_request=refuse_nul,
        before_send=[_add_security_headers],
        lifespan=[_threads(queries, uploads, transfers)],
        request_max_body_size=_LARGEST_REQUEST,
        openapi_config=_openapi(),
        request_class=Call,
        logging_config=None,
    )


def _lanes(settings: Settings) -> tuple[Lane, Lane, Lane]:
    """For queries, uploads and downloads."""
    return (
        Lane(
            Admission(
                "queries",
                per_person=settings.queries_per_person,
                in_all=settings.queries_at_once,
            ),
            stall=settings.reader_stall,
            least_rate=settings.least_rate,
        ),
        Lane(
            Admission(
                "uploads", per_person=settings.uploads_per_person, in_all=settings.uploads_at_once
            )
        ),
        Lane(
            Admission(
                "downloads",
                per_person=settings.downloads_per_person,
                in_all=settings.downloads_at_once,
            ),
            stall=settings.reader_stall,
            least_rate=settings.least_rate,
        ),
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Data Marketplace",
        version=version("data-marketplace"),
        description="Share government datasets so that an approval is the enforcement. "
        "Every call but the health check carries Authorization: Bearer <token>.",
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        openapi_router=Router(
            "/schema", route_handlers=[], opt={"action": PUBLIC}, include_in_schema=False
        ),
        render_plugins=[JsonRenderPlugin()],
        security=[{"token": []}],
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
        ),
    )


def _operation_id(handler: HTTPRouteHandler, method: str, _path: object) -> str:
    return f"{handler.handler_name}_head" if method == "HEAD" else handler.handler_name


@asynccontextmanager
async def _threads(*lanes: Lane) -> AsyncIterator[None]:
    """Threads for short calls while the application runs; those of the lanes end with it."""
    asyncio.get_running_loop().set_default_executor(
        ThreadPoolExecutor(_SHORT_CALL_THREADS, thread_name_prefix="marketplace")
    )
    yield
    for lane in lanes:
        await asyncio.to_thread(lane.close)


async def _add_security_headers(message: Message, _scope: Scope) -> None:
    """Every answer carries them, errors included; a page may set a policy of its own."""
    if message["type"] != "http.response.start":
        return
    headers = [*message["headers"], *_SECURITY_HEADERS]
    if not any(name.lower() == _CONTENT_POLICY[0] for name, _ in headers):
        headers.append(_CONTENT_POLICY)
    message["headers"] = headers
