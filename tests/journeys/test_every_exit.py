"""Subject, dataset and exit: every way out over HTTP asks the same question and gets the same answer."""

from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from access_policies.vocabulary import Audience
from marketplace.api.media_types import OFFERS
from marketplace.identity.tokens import authenticate

Call = Callable[[str, str, dict[str, str]], urllib3.BaseHTTPResponse]

# What a caller gets of: a dataset agreed with them, one that they may know of, one that they may
# not, and one that is not there.
ANSWERS = {
    "member": (200, 403, 404, 404),
    "outsider": (403, 403, 404, 404),
    "owner": (200, 200, 200, 404),
    "publisher": (200, 200, 200, 404),
    "auditor": (403, 403, 403, 404),
    "nobody": (401, 401, 401, 401),
    "stranger": (401, 401, 401, 401),
    "revoked": (401, 401, 401, 401),
}
DATASETS = ("agreed", "listed", "hidden", "missing")

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def query(accept: str) -> Call:
    def call(url: str, dataset: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        return urllib3.request(
            "POST",
            f"{url}/api/v1/query",
            json={"sql": f"SELECT * FROM mhclg.{dataset}"},
            headers=headers | {"Accept": accept},
            timeout=60,
        )

    return call


def table(rest: str = "", method: str = "GET", release: str = "latest", **extra: str) -> Call:
    def call(url: str, dataset: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        path = f"/api/v1/datasets/mhclg/{dataset}/releases/{release}/tables/{dataset}{rest}"
        return urllib3.request(method, url + path, headers=headers | extra, timeout=60)

    return call


EXITS: dict[str, Call] = {f"query as {accept}": query(accept) for accept in OFFERS} | {
    "list of files": table(),
    "list of files of a release": table(release="1"),
    "file": table("/1.parquet"),
    "file of a release": table("/1.parquet", release="1"),
    "head of a file": table("/1.parquet", method="HEAD"),
    "range of a file": table("/1.parquet", Range="bytes=0-3"),
    "file that the caller has": table("/1.parquet", **{"If-None-Match": "*"}),
    "range outside of a file": table("/1.parquet", Range="bytes=999999999-"),
    "file that another is meant by": table("/1.parquet", **{"If-Match": '"other"'}),
}
# What is an answer to one who may: anything else must not be told to who may not.
ALLOWED = {
    "range of a file": 206,
    "file that the caller has": 304,
    "range outside of a file": 416,
    "file that another is meant by": 412,
}


@pytest.fixture
def headers(world) -> dict[str, dict[str, str]]:
    """The headers of each caller; what is agreed with the member stands."""
    marketplace = world.marketplace
    secrets: dict[str, str | None] = {
        name: world.secret(name) for name in ("member", "outsider", "owner", "publisher", "auditor")
    }
    with marketplace.database.reading() as connection:
        held = authenticate(connection, world.secret("member"), now=marketplace.clock())
    secret, token = marketplace.administration.issue_token(
        email="member@sheffield.example",
        role=None,
        project="sheffield_squad",
        organisation=None,
        expires_at=held.valid_until,
        by="the operator",
    )
    marketplace.administration.revoke_token(token.id, by="the operator")
    secrets |= {"nobody": None, "stranger": "dmk_" + "x" * 40, "revoked": secret}
    return {
        name: {} if secret is None else {"Authorization": f"Bearer {secret}"}
        for name, secret in secrets.items()
    }


@pytest.mark.parametrize("scoped", [False, True])
def test_every_exit_gives_each_caller_the_same_answer(
    world, url: str, headers: dict[str, Any], scoped: bool
) -> None:
    for dataset in ("agreed", "listed"):
        world.publish(address=f"mhclg.{dataset}")
    world.publish(address="mhclg.hidden", visible_to=Audience.GOVERNMENT)
    world.share("mhclg.agreed", columns=("area", "households") if scoped else ("*",))

    got, expected = {}, {}
    for caller, statuses in ANSWERS.items():
        for dataset, status in zip(DATASETS, statuses, strict=True):
            for name, call in EXITS.items():
                answer = call(url, dataset, headers[caller])
                got[caller, dataset, name] = answer.status
                allowed = ALLOWED.get(name, 200)
                expected[caller, dataset, name] = allowed if status == 200 else status
                told = [header for header in answer.headers if header.lower() in TELLING]
                assert not told or status == 200, (caller, dataset, name, told)
    assert got == expected


TELLING = {"etag", "content-range", "repr-digest", "marketplace-releases", "content-disposition"}
