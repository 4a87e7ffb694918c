"""Every route says what it is for, and nothing is open by forgetting."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from access_policies.vocabulary import Action
from marketplace.api.authentication import PUBLIC, SIGNED_IN
from marketplace.app import create_app
from marketplace.bootstrap import Marketplace
from marketplace.settings import Settings

OPEN_TO_ANYBODY = {"/", "/docs", "/health", "/problems", "/problems/{name:str}"}


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Litestar:
    parts = SimpleNamespace(settings=Settings(data=tmp_path_factory.mktemp("data")), callers=None)
    return create_app(cast("Marketplace", parts))


def routes(application: Litestar) -> dict[str, HTTPRouteHandler]:
    """Every handler that answers a call, by method and path."""
    return {
        f"{method} {route.path}": handler
        for route in application.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method != "OPTIONS"
    }


def test_every_route_declares_its_action(application: Litestar) -> None:
    declared = {name: handler.opt.get("action") for name, handler in routes(application).items()}
    assert len(declared) > 20
    assert {name for name, action in declared.items() if action is None} == set()
    assert set(declared.values()) <= {*Action, PUBLIC, SIGNED_IN}


def test_only_the_known_routes_are_open_to_anybody(application: Litestar) -> None:
    public = {
        name.split()[1]
        for name, handler in routes(application).items()
        if handler.opt["action"] == PUBLIC and not name.split()[1].startswith("/schema")
    }
    assert public == OPEN_TO_ANYBODY


def test_no_route_changes_anything_by_get(application: Litestar) -> None:
    reading = {
        Action.DISCOVER,
        Action.READ_METADATA,
        Action.DOWNLOAD,
        Action.REQUEST_ACCESS,
        Action.AUDIT,
        PUBLIC,
        SIGNED_IN,
    }
    for name, handler in routes(application).items():
        if name.startswith("GET"):
            assert handler.opt["action"] in reading, name


def test_the_openapi_document_is_whole(application: Litestar) -> None:
    document = application.openapi_schema.to_schema()
    operations = [
        operation
        for item in document["paths"].values()
        for operation in cast("dict[str, Any]", item).values()
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) >= 20
    assert all(operation["description"] for operation in operations)
    text = msgspec.json.encode(document).decode()
    schemas = document["components"]["schemas"]
    for part in text.split('"$ref":"')[1:]:
        assert part.partition('"')[0].removeprefix("#/components/schemas/") in schemas
