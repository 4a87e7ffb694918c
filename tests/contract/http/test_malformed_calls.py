"""Calls that nobody should make: each is told as a problem, and none as a failure of the service."""

import json
import socket
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from marketplace.errors import SettingInvalid
from marketplace.identity import people, tokens
from marketplace.serve import listen

QUERY = "/api/v1/query"
RELEASES = "/api/v1/datasets/mhclg/homes/releases"

CALLS = [
    # method, path, body, status, kind of problem
    ("POST", QUERY, b"", 400, "request-malformed"),
    ("POST", QUERY, b"{", 400, "request-malformed"),
    ("POST", QUERY, b"[]", 400, "request-malformed"),
    ("POST", QUERY, b"null", 400, "request-malformed"),
    ("POST", QUERY, b"{}", 400, "request-malformed"),
    ("POST", QUERY, b'{"sql": 1}', 400, "request-malformed"),
    ("POST", QUERY, b'{"sql": null}', 400, "request-malformed"),
    ("POST", QUERY, b'{"sql": "SELECT 1", "limit": 5}', 400, "request-malformed"),
    ("POST", QUERY, b'{"sql": "\xff"}', 400, "request-malformed"),
    ("POST", QUERY, b'{"sql": ' + b"[" * 100_000, 400, "request-malformed"),
    ("POST", QUERY, b" " * (1024 * 1024 + 1), 413, "request-too-large"),
    ("GET", QUERY, None, 405, "method-not-allowed"),
    ("DELETE", "/api/v1/datasets", None, 405, "method-not-allowed"),
    ("GET", "/api/v1/nothing", None, 404, "no-such-page"),
    ("GET", "/api/v2/query", None, 404, "no-such-page"),
    ("GET", "/..%2f..%2fetc/passwd", None, 404, "no-such-page"),
    ("GET", "/api/v1/datasets/Mhclg/homes", None, 400, "invalid-address"),
    ("GET", "/api/v1/datasets/mhclg/ho%00mes", None, 400, "request-malformed"),
    ("GET", "/api/v1/requests/%00", None, 400, "request-malformed"),
    ("GET", "/api/v1/datasets?words=%00", None, 400, "request-malformed"),
    ("GET", "/api/v1/why?dataset=a.b&person=%00", None, 400, "request-malformed"),
    ("GET", "/api/v1/datasets/mhclg/homes%20x", None, 400, "invalid-address"),
    ("GET", "/api/v1/datasets/mhclg/main", None, 400, "invalid-address"),
    ("GET", f"{RELEASES}/first", None, 404, "no-such-page"),
    ("GET", "/api/v1/why", None, 400, "request-malformed"),
    ("GET", "/api/v1/why?dataset=homes", None, 400, "invalid-address"),
    ("GET", "/api/v1/why?dataset=a.b&action=dataset:burn", None, 400, "request-malformed"),
    ("POST", RELEASES, b"a,b\n1,2\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=..", b"a,b\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=a.csv&header_line=x", b"a,b\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=a.csv&header_line=0", b"a,b\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=a.csv&last_line={10**30}", b"a\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=a.csv&last_line={'9' * 5000}", b"a", 400, "request-malformed"),
    ("GET", f"{RELEASES}/{'9' * 5000}", None, 404, "no-such-page"),
    ("POST", f"{RELEASES}?filename=a.csv&date_order=ymd", b"a\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=a.csv&visible_to=all", b"a\n", 400, "request-malformed"),
    ("POST", f"{RELEASES}?filename=a.csv&table=Ho;mes", b"a\n", 400, "invalid-address"),
    ("POST", "/api/v1/requests", b'{"dataset": "a.b"}', 400, "request-malformed"),
    ("POST", "/api/v1/requests/1/return", b"", 400, "request-malformed"),
    ("POST", "/api/v1/agreements/1/revoke", b'{"why": "x"}', 400, "request-malformed"),
]


def call(service: Any, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
    given = {"Authorization": f"Bearer {service.token}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return urllib3.request(
        method, service.url + path, body=body, headers=given, redirect=False, retries=False
    )


@pytest.mark.parametrize(("method", "path", "body", "status", "kind"), CALLS)
def test_a_malformed_call_is_told_as_a_problem(
    service: Any, method: str, path: str, body: bytes | None, status: int, kind: str
) -> None:
    answer = call(service, method, path, body)
    problem = json.loads(answer.data)
    assert (answer.status, problem["type"]) == (status, f"/problems/{kind}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["next_step"]
    assert problem["instance"].startswith("urn:uuid:")
    assert problem["exit_code"] == 2


@pytest.mark.parametrize("parent", ["one", "-1", "1.0", "2147483648", "9" * 5000, '"'])
def test_a_parent_that_is_no_number_of_a_release_is_refused(service: Any, parent: str) -> None:
    answer = call(service, "POST", f"{RELEASES}?filename=a.csv", b"a,b\n1,2\n", If_Match=parent)
    assert (answer.status, json.loads(answer.data)["type"]) == (400, "/problems/request-malformed")


@pytest.mark.parametrize("character", ["%00", "%01", "%1B", "%7F", "%C2%9B"])
@pytest.mark.parametrize(
    "name",
    ["title", "description", "licence", "sheet", "encoding", "delimiter", "text_columns"],
)
def test_control_characters_in_what_is_said_of_a_file_are_refused(
    service: Any, name: str, character: str
) -> None:
    path = f"{RELEASES}?filename=a.csv&{name}=a{character}b"
    answer = call(service, "POST", path, b"a,b\n1,2\n")
    assert (answer.status, json.loads(answer.data)["type"]) == (400, "/problems/request-malformed")
    assert service.publishing.taken == []


@pytest.mark.parametrize("given", ["filename=a%01.csv", "filename=a%0A.csv", "title=a%0Ab"])
def test_what_stands_on_one_line_holds_no_line_end(service: Any, given: str) -> None:
    answer = call(service, "POST", f"{RELEASES}?filename=a.csv&{given}", b"a,b\n1,2\n")
    assert (answer.status, json.loads(answer.data)["type"]) == (400, "/problems/request-malformed")


def test_lines_in_a_description_and_a_tab_as_delimiter_are_taken(service: Any) -> None:
    said = "description=One%0D%0Atwo%09three&delimiter=%09&title=Spend%20%C2%A3"
    call(service, "POST", f"{RELEASES}?filename=a.csv&{said}", b"a\tb\n")
    assert service.publishing.taken == [b"a\tb\n"]


def test_a_malformed_body_is_told_where(service: Any) -> None:
    problem = json.loads(call(service, "POST", QUERY, b'{"sql": 1}').data)
    assert any("sql" in line for line in problem["lines"])


def test_a_parent_that_is_no_number_is_refused(service: Any) -> None:
    answer = call(service, "POST", f"{RELEASES}?filename=a.csv", b"a\n", If_Match='"new"')
    assert (answer.status, json.loads(answer.data)["type"]) == (400, "/problems/request-malformed")


def test_a_format_that_there_is_none_of_is_refused_before_the_query_runs(service: Any) -> None:
    answer = call(service, "POST", QUERY, b'{"sql": "SELECT 1"}', Accept="image/png")
    assert (answer.status, json.loads(answer.data)["exit_code"]) == (406, 2)
    assert service.querying.asked == []


def test_an_unforeseen_failure_tells_nothing_but_its_name(
    service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.querying.answer = ValueError("the hidden row says 4711")
    answer = call(service, "POST", QUERY, b'{"sql": "SELECT 1"}')
    problem = json.loads(answer.data)
    assert (answer.status, problem["exit_code"]) == (500, 1)
    assert b"4711" not in answer.data
    assert problem["instance"] in caplog.text


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic c2FtOnNhbQ==", "Bearer dmk_unknown", "Bearer \xa3", "dmk_x"],
)
def test_a_call_without_a_valid_token_is_refused(service: Any, header: str) -> None:
    headers = {"Authorization": header} if header else {}
    for path in ("/api/v1/me", "/api/v1/datasets", "/api/v1/audit/checkpoint"):
        answer = urllib3.request("GET", service.url + path, headers=headers, retries=False)
        problem = json.loads(answer.data)
        assert (answer.status, problem["type"]) == (401, "/problems/unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert problem["exit_code"] == 4


def test_an_expired_token_is_told_so_and_another_projects_token_is_refused(service: Any) -> None:
    database, now = service.parts.database, service.parts.clock()
    with database.writing() as connection:
        person = people.find_by_email(connection, "sam@example.org")
        assert person is not None
        expired, _ = tokens.issue_token(
            connection,
            person=person.id,
            project="family_squad",
            expires_at=now - timedelta(days=1),
            now=now - timedelta(days=2),
        )
    answer = call(service, "GET", "/api/v1/me", Authorization=f"Bearer {expired}")
    assert answer.status == 401
    assert "expired" in json.loads(answer.data)["detail"]
    answer = call(service, "GET", "/api/v1/me", Marketplace_Project="other_squad")
    assert (answer.status, json.loads(answer.data)["type"]) == (403, "/problems/wrong-project")


def test_the_use_of_a_token_is_noted(service: Any) -> None:
    call(service, "GET", "/api/v1/me")
    with service.parts.database.reading() as connection:
        used = [token.last_used_at for token in tokens.list_tokens(connection)]
    assert service.parts.clock() in used


def test_small_answers_are_sent_without_delay(service: Any) -> None:
    """A listener that does not say it is TCP costs 40 ms on every call."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        with pytest.raises(SettingInvalid):
            listen("127.0.0.1", listener.getsockname()[1])


def test_every_answer_carries_the_security_headers(service: Any) -> None:
    for path in ("/api/v1/me", "/health", "/docs", "/nothing", "/schema/openapi.json"):
        headers = call(service, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_the_documentation_loads_nothing_from_elsewhere(service: Any) -> None:
    for path in ("/docs", "/problems", "/problems/access-denied"):
        answer = urllib3.request("GET", service.url + path, retries=False)
        page = answer.data.decode()
        assert answer.status == 200
        assert page.startswith("<!doctype html>")
        assert page.count("<h1>") == 1
        assert 'lang="en-GB"' in page
        assert "<script" not in page
        assert "http://" not in page
        assert "https://" not in page
    page = urllib3.request("GET", service.url + "/docs", retries=False).data.decode()
    for expected in ("POST /api/v1/query", "Every word must occur", "ShareRequestForm", "sql"):
        assert expected in page


def test_the_services_own_address_leads_to_the_documentation(service: Any) -> None:
    answer = urllib3.request("GET", service.url + "/", redirect=False, retries=False)
    assert (answer.status, answer.headers["location"]) == (302, "/docs")


def test_health_says_which_part_is_not_well(service: Any) -> None:
    answer = urllib3.request("GET", service.url + "/health", retries=False)
    assert answer.status == 200
    assert json.loads(answer.data)["parts"]["database"] == "ok"
    service.parts.audit.fault = "the disk is full at /secret/place"
    try:
        answer = urllib3.request("GET", service.url + "/health", retries=False)
    finally:
        service.parts.audit.fault = ""
    assert answer.status == 503
    assert json.loads(answer.data)["parts"]["audit"] == "failing"
    assert b"secret" not in answer.data
