"""A release's file from upload to reading, on every object store."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalogue import releases
from catalogue.address import DatasetAddress
from catalogue.errors import ObjectCorrupted
from catalogue.object_store import ObjectStore
from catalogue.releases import Intent
from connectors.verified_cache import VerifiedCache

INTENT = Intent(
    id="a" * 32,
    dataset=DatasetAddress("mhclg", "homes"),
    parent=0,
    number=1,
    by="ada",
    expires_at=datetime(2026, 11, 22, tzinfo=UTC),
)
CONTENT = bytes(range(256)) * 100


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    path.write_bytes(CONTENT)
    return path


def test_an_uploaded_file_is_read_through_the_cache_as_it_was(
    object_store: ObjectStore, file: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    stored = releases.upload(object_store, INTENT, file, sha256=digest, rows=1)
    assert releases.upload(object_store, INTENT, file, sha256=digest, rows=1) == stored
    cache = VerifiedCache(object_store, tmp_path / "cache", 10**9)
    with cache.pinned([stored]) as (path,):
        assert path.read_bytes() == CONTENT
    assert [found.key for found in object_store.list("")] == [stored.key]


def test_an_object_of_other_bytes_under_the_key_is_neither_accepted_nor_served(
    object_store: ObjectStore, file: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    stored = releases.upload(object_store, INTENT, file, sha256=digest, rows=1)
    object_store.delete(stored.key)
    altered = tmp_path / "altered"
    altered.write_bytes(CONTENT[:-1] + b"x")
    object_store.put(stored.key, altered)
    with pytest.raises(ObjectCorrupted):
        releases.upload(object_store, INTENT, file, sha256=digest, rows=1)
    cache = VerifiedCache(object_store, tmp_path / "cache", 10**9)
    with pytest.raises(ObjectCorrupted), cache.pinned([stored]):
        pass
