"""The description of the API for people: plain pages made from the OpenAPI document, without scripts.

Nothing is loaded from elsewhere, so that they can be read inside a closed network.
"""

import base64
import hashlib
import inspect
from collections.abc import Sequence
from html import escape
from typing import Any

from litestar import MediaType, Response, get
from litestar.params import FromPath
from litestar.response import Redirect

from marketplace.api.authentication import PUBLIC
from marketplace.api.call import Call
from marketplace.api.problems import slug
from marketplace.errors import ANSWERS, UnknownRecord

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #0b0c0c; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { border-top: 1px solid #505a5f; padding-top: 1rem; margin-top: 2rem; }
code { font: 0.95em ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1rem; }
caption { text-align: left; font-weight: bold; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #b1b4b6; padding: 0.25rem 0.75rem 0.25rem 0; }
a { color: #1d70b8; } a:focus { outline: 3px solid #ffdd00; background: #ffdd00; color: #0b0c0c; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

_METHODS = ("get", "post", "put", "patch", "delete")


@get("/", opt={"action": PUBLIC}, include_in_schema=False, sync_to_thread=False)
def lead_to_description() -> Redirect:
    """Whoever opens the service's address in a browser reads what there is."""
    return Redirect("/docs")


@get("/docs", opt={"action": PUBLIC}, include_in_schema=False, sync_to_thread=True)
def describe_api(request: Call) -> Response[str]:
    """Every address, what it takes and what it answers."""
    document = request.app.openapi_schema.to_schema()
    info = document["info"]
    sections = "".join(
        _operation(document, path, method, item[method])
        for path, item in sorted(document["paths"].items())
        for method in _METHODS
        if method in item
    )
    introduction = (
        f"<p>{escape(info.get('description', ''))}</p>"
        '<p>The same as a document for machines: <a href="/schema/openapi.json">openapi.json</a>. '
        'What can go wrong: <a href="/problems">problems</a>.</p>'
    )
    return _page(info["title"], introduction + sections)


@get("/problems", opt={"action": PUBLIC}, include_in_schema=False, sync_to_thread=True)
def list_problems() -> Response[str]:
    """Every kind of problem with its status and the command line's exit code."""
    rows = [
        (
            f'<a href="/problems/{slug(kind)}">{escape(answer.title)}</a>',
            str(answer.status.value),
            str(answer.exit_code),
            escape(inspect.getdoc(kind) or ""),
        )
        for kind, answer in ANSWERS.items()
    ]
    return _page("Problems", _table("All problems", ("Title", "Status", "Exit", "Meaning"), rows))


@get("/problems/{name:str}", opt={"action": PUBLIC}, include_in_schema=False, sync_to_thread=True)
def explain_problem(name: FromPath[str]) -> Response[str]:
    """What one kind of problem means; the address that a problem's `type` refers to."""
    found = next(((kind, answer) for kind, answer in ANSWERS.items() if slug(kind) == name), None)
    if found is None:
        raise UnknownRecord("There is no such kind of problem.", next_step="See /problems.")
    kind, answer = found
    body = (
        f"<p>{escape(inspect.getdoc(kind) or '')}</p>"
        f"<p>HTTP status {answer.status.value}, exit code {answer.exit_code}. "
        'The answer that carried it says what to do next. <a href="/problems">All problems</a></p>'
    )
    return _page(answer.title, body)


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    parts = [
        f'<h2 id="{escape(operation["operationId"])}"><code>{method.upper()} {escape(path)}</code></h2>',
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>",
        _parameters(operation.get("parameters", [])),
        *(_members(document, "Body", kind, content["schema"]) for kind, content in body.items()),
        *(
            _members(document, f"Answer {status}", kind, content["schema"])
            for status, response in operation["responses"].items()
            for kind, content in response.get("content", {}).items()
            if not status.startswith(("4", "5"))
        ),
    ]
    return "".join(parts)


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"<code>{escape(parameter['name'])}</code>",
            escape(parameter["in"]) + (", required" if parameter.get("required") else ""),
            escape(parameter.get("description", "")),
        )
        for parameter in parameters
    ]
    return _table("Parameters", ("Name", "Where", "Meaning"), rows) if rows else ""


def _members(document: dict[str, Any], what: str, kind: str, schema: dict[str, Any]) -> str:
    schema = _resolve(document, schema)
    many = "a list of " if schema.get("type") == "array" else ""
    item = _resolve(document, schema.get("items", schema))
    required = set(item.get("required", ()))
    rows = [
        (
            f"<code>{escape(name)}</code>",
            escape(_kind_of(member)) + (", required" if name in required else ""),
        )
        for name, member in item.get("properties", {}).items()
    ]
    caption = f"{what}: {many}{item.get('title', '')} ({kind})"
    return (
        _table(caption, ("Member", "Kind"), rows)
        if rows
        else f"<p>{escape(what)}: {escape(kind)}</p>"
    )


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _kind_of(member: dict[str, Any]) -> str:
    if "$ref" in member:
        return str(member["$ref"]).rpartition("/")[2]
    for choice in ("oneOf", "anyOf"):
        if choice in member:
            return " or ".join(_kind_of(option) for option in member[choice])
    if member.get("type") == "array":
        return f"list of {_kind_of(member.get('items', {}))}"
    return str(member.get("format") or member.get("type") or "any")


def _table(caption: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def _page(title: str, body: str) -> Response[str]:
    content = (
        '<!doctype html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return Response(
        content, media_type=MediaType.HTML, headers={"Content-Security-Policy": PAGE_POLICY}
    )
