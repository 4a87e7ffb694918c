"""Whole tables as files: who gets them, which bytes of them, and what is recorded."""

import base64
import hashlib
import io
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet
import pytest
import urllib3

from access_policies.scope import RowsInPlaces
from access_policies.vocabulary import Action
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.wire import ApprovalForm, ShareRequestForm

HOMES = "/api/v1/datasets/mhclg/homes/releases/latest/tables/homes"
FILE = f"{HOMES}/1.parquet"
MANY_ROWS = "payment,amount,text\n" + "".join(
    f"{n},{n}.25,{hashlib.sha256(str(n).encode()).hexdigest()}\n" for n in range(200_000)
)

Ask = Callable[..., urllib3.BaseHTTPResponse]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def ask(world, url) -> Ask:
    def ask(path: str = FILE, method: str = "GET", by: str = "member", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        authorization = {"Authorization": f"Bearer {world.secret(by)}"} if by else {}
        return urllib3.request(
            method,
            url + path,
            headers=authorization | named,
            decode_content=False,
            retries=False,
            timeout=60,
        )

    return ask


def rows(answer: urllib3.BaseHTTPResponse) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.parquet.read_table(io.BytesIO(answer.data)).to_pylist()
    return found


def closed(world) -> list[dict[str, Any]]:
    """What the records of reads were closed with, oldest first."""
    world.marketplace.audit.sequence()
    with world.marketplace.database.reading() as connection:
        found = entries.latest(connection, kinds=[EntryKind.READ_CLOSED])
    return [dict(entry.facts) for entry in reversed(found)]


def test_a_member_gets_the_release_file_itself(world, ask: Ask) -> None:
    published = world.publish()
    world.share()
    answer = ask()

    assert answer.status == 200
    [file] = published.table.files
    assert hashlib.sha256(answer.data).hexdigest() == file.sha256
    assert answer.headers["etag"] == f'"{file.sha256}"'
    assert answer.headers["content-length"] == str(file.bytes)
    assert answer.headers["accept-ranges"] == "bytes"
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["marketplace-access-ends"] == "2027-01-01T00:00:00Z"
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["marketplace-releases"] == "mhclg.homes=1"
    assert "mhclg.homes.homes-1-1.parquet" in answer.headers["content-disposition"]


def test_a_member_with_a_scope_gets_a_file_of_that_scope_only(world, ask: Ask) -> None:
    published = world.publish()
    world.share(rows=RowsInPlaces(places=("E08000019",)), columns=("area_code", "households"))
    answer = ask()

    assert rows(answer) == [{"area_code": "E08000039", "households": 614}]
    tag = answer.headers["etag"].strip('"')
    assert tag == hashlib.sha256(answer.data).hexdigest() != published.table.files[0].sha256
    listed = ask(HOMES).json()
    assert [(file["sha256"], file["rows"]) for file in listed["files"]] == [(tag, 1)]


@pytest.mark.usefixtures("shared")
def test_a_table_lists_its_files_under_the_number_of_their_release(world, ask: Ask) -> None:
    listed = ask(HOMES).json()
    [file] = listed["files"]

    assert (listed["table"], listed["release"]) == ("mhclg.homes.homes", 1)
    assert file["path"] == FILE.replace("latest", "1")
    content = ask(file["path"]).data
    assert (file["bytes"], file["sha256"]) == (
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


def test_ranges_put_together_are_the_file(world, ask: Ask) -> None:
    world.publish(MANY_ROWS)
    world.share()
    whole = ask().data
    size = len(whole)
    parts = []
    for start in range(0, size, size // 3 + 1):
        stop = min(start + size // 3 + 1, size)
        answer = ask(range=f"bytes={start}-{stop - 1}")
        assert answer.status == 206
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["content-length"] == str(stop - start)
        parts.append(answer.data)

    assert len(parts) == 3
    assert b"".join(parts) == whole
    assert ask(range="bytes=-8").data == whole[-8:]


def test_a_range_outside_of_the_file_is_told_its_size(world, ask: Ask) -> None:
    published = world.publish()
    world.share()
    size = published.table.files[0].bytes
    answer = ask(range=f"bytes={size}-")

    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")
    assert answer.json()["type"] == "/problems/range-unsatisfiable"


@pytest.mark.usefixtures("shared")
def test_a_transfer_goes_on_only_with_the_file_that_it_began_with(world, ask: Ask) -> None:
    tag = ask().headers["etag"]
    assert ask(range="bytes=4-", if_range=tag).status == 206
    world.publish("area_code,area,households,children\nE08000039,Sheffield,700,1\n", parent=1)

    fresh = ask(range="bytes=4-", if_range=tag)
    assert fresh.status == 200
    assert [row["households"] for row in rows(fresh)] == [700]
    kept = ask(FILE.replace("latest", "1"), range="bytes=4-", if_range=tag)
    assert kept.status == 206


@pytest.mark.usefixtures("shared")
def test_a_file_that_the_caller_has_is_not_sent_again(world, ask: Ask) -> None:
    tag = ask().headers["etag"]
    answer = ask(if_none_match=tag)

    assert (answer.status, answer.data) == (304, b"")
    assert answer.headers["etag"] == tag
    assert ask(if_match='"other"').status == 412


def test_head_tells_the_size_and_sends_nothing(world, ask: Ask) -> None:
    published = world.publish()
    world.share()
    answer = ask(method="HEAD")

    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["content-length"] == str(published.table.files[0].bytes)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"


def test_every_call_is_recorded_with_the_bytes_that_left(world, ask: Ask) -> None:
    published = world.publish()
    world.share()
    [file] = published.table.files
    size = file.bytes
    whole = ask()
    ask(range="bytes=0-3")
    ask(method="HEAD")
    ask(if_none_match=whole.headers["etag"])
    ask(range=f"bytes={size}-")
    ask(HOMES)
    ask(FILE.replace("1.parquet", "2.parquet"))

    assert [(fact["rows"], fact["bytes"], fact["outcome"]) for fact in closed(world)] == [
        (file.rows, size, "complete"),
        (0, 4, f"complete: bytes 0-3 of {size}"),
        (0, 0, "nothing sent"),
        (0, 0, "nothing sent"),
        (0, 0, "RangeUnsatisfiable"),
        (0, 0, "nothing sent"),
        (0, 0, "UnknownRecord"),
    ]
    with world.marketplace.database.reading() as connection:
        [*_, first] = entries.latest(connection, kinds=[EntryKind.READ_DECIDED])
    assert first.id == whole.headers["marketplace-audit-entry"]
    assert first.facts["action"] == Action.DOWNLOAD.value
    assert first.facts["allowed"] is True


@pytest.mark.usefixtures("homes")
def test_an_agreement_that_limits_a_result_does_not_let_out_a_larger_table(
    world, acting, ask: Ask
) -> None:
    for most_rows, status in [(2, 413), (3, 200)]:
        form = ShareRequestForm(
            dataset="mhclg.homes",
            last_day=date(2026, 12, 31),
            data_type="none",
            aims="Fewer families in bed and breakfast",
            power="legislation",
            power_named="Housing Act 1996, section 208",
        )
        asked = acting("member").ask(form)
        approval = ApprovalForm(reason="Within the programme", most_rows=most_rows)
        agreement = acting("owner").approve(asked.id, approval)
        assert ask().status == status
        assert ask(range="bytes=0-3").status == (206 if status == 200 else status)
        assert ask(HOMES).status == status
        acting("owner").revoke(agreement.id, "Another limit")


@pytest.mark.usefixtures("homes")
@pytest.mark.parametrize("call", [FILE, HOMES])
def test_an_extract_that_the_store_lost_is_built_again_for_a_download(
    world, ask: Ask, tmp_path: Path, call: str
) -> None:
    world.share(columns=("area", "households"))
    before = ask().data
    for copy in (tmp_path / "data" / "cache").glob("*.parquet"):
        copy.unlink()
    [stored] = world.marketplace.store.list("extracts/")
    (tmp_path / "data" / "objects" / stored.key).unlink()

    assert ask(call).status == 200
    assert pa.parquet.read_table(io.BytesIO(ask().data)) == pa.parquet.read_table(
        io.BytesIO(before)
    )


def test_revoking_cuts_a_download_and_the_record_says_so(world, url, monkeypatch) -> None:
    monkeypatch.setattr("marketplace.delivery._LOOK_AGAIN_SECONDS", 0.0)
    world.publish(MANY_ROWS)
    agreement = world.share()
    address = urlsplit(url)
    with socket.socket() as connection:
        # So little room on the way that most of the file waits at the service.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((address.hostname, address.port))
        connection.sendall(
            f"GET {FILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {world.secret('member')}\r\n\r\n".encode()
        )
        begun = connection.recv(1000)
        world.marketplace.sharing.revoke(world.owner, agreement.id, "Mid-way")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = (begun + rest).partition(b"\r\n\r\n")
    size = int(re.search(rb"content-length: (\d+)", head)[1])

    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) < size
    [record] = closed(world)
    assert record["outcome"] == "AccessEnded"
    assert len(body) <= record["bytes"] < size


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        (FILE.replace("1.parquet", "0.parquet"), 404),
        (FILE.replace("1.parquet", "2.parquet"), 404),
        (FILE.replace("1.parquet", "1.csv"), 404),
        (FILE.replace("1.parquet", "01.parquet"), 404),
        (FILE.replace("1.parquet", "%2e%2e%2f1.parquet"), 404),
        (FILE.replace("1.parquet", "..%2f..%2f..%2f..%2fetc%2fpasswd"), 404),
        (FILE.replace("latest", "2"), 404),
        (FILE.replace("latest", "0"), 404),
        (FILE.replace("latest", "-1"), 404),
        (FILE.replace("latest", "newest"), 404),
        (FILE.replace("latest", "9" * 400), 404),
        (FILE.replace("tables/homes", "tables/other"), 404),
        (FILE.replace("tables/homes", "tables/..%2fhomes"), 404),
        (FILE.replace("tables/homes", "tables/%00"), 400),
        (FILE.replace("mhclg", "MHCLG"), 404),
        (FILE.replace("mhclg", "'%20OR%201=1"), 404),
    ],
)
def test_what_is_no_file_of_a_table_is_not_found(world, ask: Ask, path: str, status: int) -> None:
    answer = ask(path)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_reader_that_picks_its_ranges_reads_the_table(world, url, tmp_path: Path) -> None:
    """As DuckDB, pyarrow and Polars read Parquet over the web: the footer first."""
    world.publish(MANY_ROWS)
    world.share()
    file = RangeFile(url + FILE, world.secret("member"))
    table = pa.parquet.ParquetFile(pa.PythonFile(file, mode="r")).read(columns=["payment"])

    assert table.column("payment").to_pylist() == list(range(200_000))
    assert len(file.calls) > 1
    assert sum(len(part) for part in file.calls) < file.size() / 2


def test_curl_goes_on_where_it_was_cut(world, url, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    world.publish(MANY_ROWS)
    world.share()
    whole = urllib3.request(
        "GET", url + FILE, headers={"Authorization": f"Bearer {world.secret('member')}"}, timeout=60
    ).data
    path = tmp_path / "homes.parquet"
    path.write_bytes(whole[:100_001])
    config = tmp_path / "curl.conf"
    config.write_text(f'header = "Authorization: Bearer {world.secret("member")}"\n')
    subprocess.run(
        [curl, "-sS", "--fail", "-K", config, "-C", "-", "-o", path, url + FILE], check=True
    )

    assert path.read_bytes() == whole


class RangeFile(io.RawIOBase):
    """A file behind HTTP, of which every read is one call with a range."""

    def __init__(self, url: str, token: str) -> None:
        self.calls: list[range] = []
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._place = 0
        self._size = int(
            urllib3.request("HEAD", url, headers=self._headers, timeout=60).headers[
                "content-length"
            ]
        )

    def size(self) -> int:
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._place + size, self._size)
        part = range(self._place, stop)
        if not part:
            return b""
        self.calls.append(part)
        wanted = {"Range": f"bytes={part.start}-{part.stop - 1}"}
        answer = urllib3.request("GET", self._url, headers=self._headers | wanted, timeout=60)
        assert answer.status == 206
        self._place = stop
        return answer.data
