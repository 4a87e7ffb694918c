"""What HTTP adds to the journeys: formats, uploads, and results that break off."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import urllib3

from marketplace.api.media_types import OFFERS
from marketplace.audit import entries
from marketplace.audit.entries import EntryKind
from marketplace.audit.receipt import Receipt
from marketplace.client import Client, MarketplaceProblem, StreamCut
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.errors import QueryStopped
from marketplace.wire import ApprovalForm, RowsInPlaces, ScopeOfTable, ShareRequestForm

HOMES = "area_code,area,households\nE08000012,Liverpool,1200\nE08000039,Sheffield,614\n"
MANY = "n,text\n" + "".join(f"{n},{n * 7919 % 100003:032d}\n" for n in range(150_000))
# 300 million rows: more than any buffer on the way holds.
LONG = "SELECT one.*, two.n AS m FROM mhclg.homes one, mhclg.homes two WHERE two.n < 2000"

FORM = ShareRequestForm(
    dataset="mhclg.homes",
    last_day=date(2026, 12, 31),
    data_type="none",
    aims="Fewer families in bed and breakfast",
    power="legislation",
    power_named="Housing Act 1996, section 208",
)

Connect = Callable[[str], Client]

# The protocol does not depend on the kind of database; the journey in test_http_journey.py runs on
# both.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def publish(client: Client, folder: Path, text: str = HOMES, address: str = "mhclg.homes"):
    file = folder / "homes.csv"
    file.write_text(text)
    return client.publish(file, address, title="Homes", visible_to="local_government")


def share(acting: Connect, form: ShareRequestForm = FORM, approval: str = "Within the programme"):
    asked = acting("member").ask(form)
    return acting("owner").approve(asked.id, ApprovalForm(reason=approval))


def refusal(run: Callable[[], object]) -> MarketplaceProblem:
    with pytest.raises(MarketplaceProblem) as caught:
        run()
    return caught.value


def test_a_read_can_be_proven_with_its_receipt(acting, world, tmp_path: Path) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    result = acting("member").query("SELECT * FROM mhclg.homes")
    result.to_arrow()
    assert result.access_ends == datetime(2027, 1, 1, tzinfo=UTC)
    receipt = acting("member").receipt(result.entry)
    assert Receipt.parse(receipt).entry.id == result.entry
    assert world.marketplace.audit.verify(receipts=(receipt,)).ok
    assert acting("member").checkpoint().startswith(world.marketplace.settings.origin)


def test_a_table_is_pulled_in_every_format(acting, tmp_path: Path) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    readers = {
        ".parquet": lambda path: pa.parquet.read_table(path).to_pylist(),
        ".csv": lambda path: pa.csv.read_csv(path).to_pylist(),
        ".arrow": lambda path: pa.ipc.open_file(path).read_all().to_pylist(),
        ".json": lambda path: from_json(json.loads(path.read_text())),
    }
    for ending, read in readers.items():
        path = acting("member").pull("mhclg.homes", tmp_path / f"pulled{ending}")
        assert [row["households"] for row in read(path)] == [1200, 614], ending


def test_the_service_answers_in_the_media_type_asked_for(acting, world, url, tmp_path) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    for accept, media_type in [
        ("*/*", "application/vnd.apache.arrow.stream"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/json", "application/json"),
    ]:
        answer = urllib3.request(
            "POST",
            f"{url}/api/v1/query",
            json={"sql": "SELECT households FROM mhclg.homes", "project": "sheffield_squad"},
            headers={"Authorization": f"Bearer {world.secret('member')}", "Accept": accept},
            timeout=60,
        )
        assert (answer.status, answer.headers["content-type"]) == (200, media_type)
        assert answer.headers["marketplace-releases"] == "mhclg.homes=1"
        assert answer.headers["marketplace-access-ends"] == "2027-01-01T00:00:00Z"


def test_another_project_in_the_body_is_refused(acting, world, url, tmp_path) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    answer = urllib3.request(
        "POST",
        f"{url}/api/v1/query",
        json={"sql": "SELECT 1", "project": "manchester_squad"},
        headers={"Authorization": f"Bearer {world.secret('member')}"},
        timeout=60,
    )
    assert (answer.status, answer.json()["type"]) == (403, "/problems/wrong-project")


def test_a_dataset_that_is_not_for_the_caller_answers_as_one_that_is_not_there(
    acting, tmp_path: Path
) -> None:
    file = tmp_path / "secret.csv"
    file.write_text(HOMES)
    acting("publisher").publish(file, "mhclg.secret", visible_to="government")
    member = acting("member")
    for ask in (member.dataset, member.releases, member.why):
        hidden, absent = (refusal(partial(ask, name)) for name in ("mhclg.secret", "mhclg.nope"))
        assert (hidden.status, hidden.type) == (absent.status, absent.type)
        assert hidden.detail.replace("secret", "nope") == absent.detail
    assert member.search() == []


STATEMENTS = {
    "DROP TABLE mhclg.homes": "statement-refused",
    "SELECT 1; SELECT 2": "statement-refused",
    "SELECT * FROM read_csv('/etc/passwd')": "statement-refused",
    "SELECT * FROM mhclg.nothing": "unknown-dataset",
    "SELECT CAST(area AS BIGINT) FROM mhclg.homes": "query-failed",
}


def test_a_statement_that_cannot_be_run_is_told_why_without_a_hidden_value(
    acting, tmp_path: Path
) -> None:
    publish(acting("publisher"), tmp_path)
    scope = ScopeOfTable(table="homes", rows=RowsInPlaces(places=("Sheffield",)))
    share(acting, msgspec.structs.replace(FORM, tables=(scope,)))
    for sql, kind in STATEMENTS.items():
        refused = refusal(partial(acting("member").query, sql))
        assert refused.type == f"/problems/{kind}", sql
        assert refused.exit_code in (2, 3)
        assert refused.next_step
        assert "Liverpool" not in str(refused)


def test_a_file_that_breaks_the_contract_is_refused_line_by_line(acting, tmp_path: Path) -> None:
    publisher = acting("publisher")
    publish(publisher, tmp_path)
    broken = HOMES.replace("614", "many")
    refused = refusal(lambda: publish(publisher, tmp_path, broken))
    assert (refused.status, refused.exit_code) == (422, 6)
    assert refused.lines
    assert [release.number for release in publisher.releases("mhclg.homes")] == [1]


def test_a_second_publisher_on_the_same_parent_is_refused(acting, tmp_path: Path) -> None:
    publisher = acting("publisher")
    publish(publisher, tmp_path)
    file = tmp_path / "next.csv"
    file.write_text(HOMES.replace("614", "615"))
    assert publisher.publish(file, "mhclg.homes", parent=1).release.number == 2
    file.write_text(HOMES.replace("614", "616"))
    refused = refusal(lambda: publisher.publish(file, "mhclg.homes", parent=1))
    assert (refused.status, refused.exit_code) == (409, 5)
    assert [release.number for release in publisher.releases("mhclg.homes")] == [2, 1]
    assert publisher.release("mhclg.homes", 1).tables[0].rows == 2
    for number in (3, 2**31, 10**30, 10**4200):
        refused = refusal(partial(publisher.release, "mhclg.homes", number))
        assert (refused.status, refused.type) == (404, "/problems/unknown-release")


def test_somebody_without_the_role_may_not_publish(acting, marketplace, tmp_path: Path) -> None:
    refused = refusal(lambda: publish(acting("member"), tmp_path))
    assert (refused.status, refused.exit_code) == (403, 4)
    with marketplace.database.reading() as connection:
        (entry,) = entries.latest(connection, kinds=[EntryKind.PUBLISH_REFUSED])
    assert entry.facts["refused_as"] == "AccessDenied"


def test_an_upload_that_breaks_off_publishes_nothing(acting, world, url, tmp_path) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"POST /api/v1/datasets/mhclg/homes/releases?filename=homes.csv HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: 1000\r\n\r\n%b"
            % (world.secret("publisher").encode(), HOMES.encode())
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert acting("publisher").search() == []
    scratch = world.marketplace.settings.data / "scratch"
    assert not [path for path in scratch.rglob("*") if path.name.startswith("upload-")]


def test_a_file_above_the_limit_is_refused_before_it_is_sent(acting, world, url) -> None:
    limit = world.marketplace.settings.upload_limit
    answer = urllib3.request(
        "POST",
        f"{url}/api/v1/datasets/mhclg/homes/releases?filename=homes.csv",
        body=iter([b"a"]),
        headers={
            "Authorization": f"Bearer {world.secret('publisher')}",
            "Content-Length": str(limit + 1),
        },
        retries=False,
        timeout=60,
    )
    assert (answer.status, answer.json()["type"]) == (413, "/problems/source-too-large")


def test_a_revocation_cuts_a_result_that_is_on_its_way(acting, marketplace, tmp_path) -> None:
    publish(acting("publisher"), tmp_path, MANY)
    agreement = share(acting)
    with acting("member").query(LONG) as result:
        batches = result.batches()
        next(batches)
        acting("owner").revoke(agreement.id, "The purpose has ended")
        with pytest.raises(StreamCut):
            for _ in batches:
                pass
    assert closing(marketplace) == "AccessEnded"


def test_the_end_of_the_last_day_cuts_a_result_too(acting, world, clock, tmp_path) -> None:
    publish(acting("publisher"), tmp_path, MANY)
    share(acting)
    with acting("member").query(LONG) as result:
        batches = result.batches()
        next(batches)
        clock.advance(timedelta(days=60))
        with pytest.raises(StreamCut):
            for _ in batches:
                pass


def test_a_killed_worker_leaves_no_file_in_any_format(acting, tmp_path: Path) -> None:
    publish(acting("publisher"), tmp_path, MANY)
    share(acting)
    folder = tmp_path / "pulled"
    folder.mkdir()
    for ending in (".csv", ".json", ".jsonl", ".parquet", ".arrow"):
        with pytest.raises(StreamCut):
            acting("member").download(
                LONG, folder / f"cut{ending}", progress=kill_the_workers_once()
            )
        assert list(folder.iterdir()) == [], ending


@pytest.mark.parametrize("accept", OFFERS)
def test_a_result_without_end_begins_at_once_and_ends_with_its_reader(
    acting, world, url, tmp_path: Path, accept: str
) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    answer = urllib3.request(
        "POST",
        f"{url}/api/v1/query",
        json={"sql": "SELECT i, hash(i) AS h FROM range(1000000000000) t(i)"},
        headers={"Authorization": f"Bearer {world.secret('member')}", "Accept": accept},
        preload_content=False,
        decode_content=False,
        timeout=60,
    )
    assert answer.headers["content-type"].partition("; charset")[0] == accept
    assert len(answer.read(5_000_000)) == 5_000_000
    answer.close()
    assert closed_as("cut by the reader", world.marketplace)


def test_values_are_bound_to_the_parameters_of_a_statement(acting, world, url, tmp_path) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    sql = "SELECT area FROM mhclg.homes WHERE households >= ? AND ? <= DATE '2026-12-31'"
    found = acting("member").query(sql, [1000, date(2026, 11, 22)]).to_arrow()
    assert found.to_pylist() == [{"area": "Liverpool"}]
    answer = urllib3.request(
        "POST",
        f"{url}/api/v1/query",
        json={
            "sql": "SELECT area FROM mhclg.homes WHERE area_code = $1 OR $2",
            "parameters": ["E08000039", False],
        },
        headers={"Authorization": f"Bearer {world.secret('member')}", "Accept": "text/csv"},
        timeout=60,
    )
    assert (answer.status, answer.data) == (200, b'"area"\n"Sheffield"\n')
    refused = refusal(lambda: acting("member").query(sql, [1]))
    assert (refused.status, refused.exit_code) == (422, 2)


def test_leaving_a_result_stops_its_work(acting, world, tmp_path: Path) -> None:
    """Its record is closed once the worker has ended it, or is no more."""
    publish(acting("publisher"), tmp_path, MANY)
    share(acting)
    with acting("member").query(LONG) as result:
        next(result.batches())
    assert closed_as("cut by the reader", world.marketplace)


def test_a_query_that_is_stopped_before_its_first_byte_is_on_record(
    acting, world, tmp_path: Path
) -> None:
    publish(acting("publisher"), tmp_path)
    share(acting)
    gone = Cancellation()
    gone.cancel()
    with pytest.raises(QueryStopped):
        world.marketplace.querying.run(
            world.member,
            "SELECT * FROM mhclg.homes",
            Encoding(OutputFormat.ARROW),
            cancellation=gone,
        )
    assert closing(world.marketplace) == "QueryStopped"


def kill_the_workers_once() -> Callable[[int, int | None], None]:
    """A report of progress that kills whoever runs queries when the first bytes have come."""
    done_so = False

    def report(done: int, _total: int | None) -> None:
        nonlocal done_so
        if done and not done_so:
            done_so = True
            for pid in workers():
                os.kill(pid, signal.SIGKILL)

    return report


def workers() -> list[int]:
    """The processes that this process has started to run queries, spares included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if int(state[1]) == os.getpid() and b"query" in arguments:
                found.append(int(folder.name))
    return found


def from_json(document: dict[str, list]) -> list[dict[str, object]]:
    names = [column["name"] for column in document["columns"]]
    return [dict(zip(names, row, strict=True)) for row in document["rows"]]


def closed_as(outcome: str, marketplace) -> bool:
    """Whether the newest read is closed with that outcome, within half a minute."""
    until = time.monotonic() + 30
    while closing(marketplace) != outcome and time.monotonic() < until:
        pass
    return closing(marketplace) == outcome


def closing(marketplace) -> str:
    marketplace.audit.sequence()
    with marketplace.database.reading() as connection:
        found = entries.latest(connection, kinds=[EntryKind.READ_CLOSED])
    return str(found[0].facts["outcome"]) if found else ""
