"""What a pull makes of what the service lists: several files, a file that is altered, a busy service."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.address import DatasetAddress
from catalogue.dataset import DataFile
from marketplace.client import Client, MarketplaceProblem, StreamCut, connect, pulling
from marketplace.download import OpenTable
from marketplace.errors import ServiceBusy

UNTIL = datetime(2030, 1, 1, tzinfo=UTC)


class ScriptedDownloads:
    """Opens a table of these files, once it has refused as often as the test says."""

    def __init__(self, paths: list[Path]) -> None:
        self.refusals: list[Exception] = []
        self.asked: list[tuple[Any, ...]] = []
        self.copies = tuple((described(path), path) for path in paths)

    def open(self, principal: Any, table: Any, release: int | None, **_: Any) -> OpenTable:
        self.asked.append((table, release))
        if self.refusals:
            raise self.refusals.pop()
        reading = SimpleNamespace(
            release=SimpleNamespace(dataset=DatasetAddress("mhclg", "homes"), number=3),
            table=SimpleNamespace(name="homes"),
        )
        return OpenTable(
            cast("Any", SimpleNamespace(close=lambda *_: None)),
            cast("Any", SimpleNamespace(entry="e" * 32, readings=(reading,), until=UNTIL)),
            cast("Any", SimpleNamespace(look=lambda: None)),
            self.copies,
            ExitStack(),
        )


def described(path: Path) -> DataFile:
    content = path.read_bytes()
    return DataFile(
        key="k",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        rows=pq.read_metadata(path).num_rows,
    )


@pytest.fixture
def downloads(service: Any, tmp_path: Path) -> ScriptedDownloads:
    """A table of three files, of two row groups each."""
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"stored-{number}.parquet")
        rows = pa.table({"n": range(number * 100, number * 100 + 100), "text": ["x"] * 100})
        pq.write_table(rows, paths[-1], row_group_size=50)
    service.parts.downloads = ScriptedDownloads(paths)
    return service.parts.downloads


@pytest.fixture
def client(service: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(pulling, "_WAITS", (0.0,) * 3)
    with connect(service.url, token=service.token) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pulled"
    folder.mkdir()
    return folder


def test_a_table_of_several_files_becomes_one_with_its_row_groups_in_order(
    client: Client, downloads: ScriptedDownloads, folder: Path
) -> None:
    told: list[tuple[int, int | None]] = []
    path = client.pull(
        "mhclg.homes", folder / "homes.parquet", progress=lambda *done: told.append(done)
    )

    found = pq.ParquetFile(path)
    assert found.read().column("n").to_pylist() == list(range(300))
    assert found.num_row_groups == 6
    total = sum(file.bytes for file, _ in downloads.copies)
    assert told[-1] == (total, total)
    assert list(folder.iterdir()) == [path]
    assert {release for _, release in downloads.asked[1:]} == {3}


def test_a_file_whose_bytes_are_not_those_listed_is_not_kept(
    client: Client, downloads: ScriptedDownloads, folder: Path
) -> None:
    path = downloads.copies[1][1]
    content = path.read_bytes()
    path.write_bytes(content[:10] + bytes([content[10] ^ 1]) + content[11:])
    with pytest.raises(StreamCut) as caught:
        client.pull("mhclg.homes", folder / "homes.parquet")

    assert "not the one that the service listed" in caught.value.detail
    assert list(folder.iterdir()) == []


def test_a_file_that_becomes_shorter_while_it_is_sent_is_not_taken_as_whole(
    client: Client, downloads: ScriptedDownloads, folder: Path
) -> None:
    path = downloads.copies[2][1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StreamCut):
        client.pull("mhclg.homes", folder / "homes.parquet")

    assert list(folder.iterdir()) == []


def test_a_pull_waits_for_a_service_that_is_busy_and_gives_up_in_the_end(
    client: Client, downloads: ScriptedDownloads, folder: Path
) -> None:
    busy = ServiceBusy("Every place is taken.", retry_after=0)
    downloads.refusals = [busy, busy]
    assert client.pull("mhclg.homes", folder / "homes.parquet").exists()

    downloads.refusals = [busy] * 9
    with pytest.raises(MarketplaceProblem) as caught:
        client.pull("mhclg.homes", folder / "again.parquet")
    assert caught.value.exit_code == 8
    assert [path.name for path in folder.iterdir()] == ["homes.parquet"]
