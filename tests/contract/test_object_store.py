"""What every object store promises, held against each one that there is."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from catalogue.errors import InvalidKey, ObjectExists, ObjectMissing
from catalogue.object_store import ObjectStore


def _file(folder: Path, content: bytes) -> Path:
    path = folder / f"file-{len(list(folder.iterdir()))}"
    path.write_bytes(content)
    return path


def _content(store: ObjectStore, key: str, folder: Path) -> bytes:
    into = folder / f"fetched-{len(list(folder.iterdir()))}"
    store.fetch(key, into)
    return into.read_bytes()


def test_what_was_put_comes_back_byte_for_byte(object_store: ObjectStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    object_store.put("releases/a/one.parquet", _file(tmp_path, content))
    assert _content(object_store, "releases/a/one.parquet", tmp_path) == content
    assert object_store.stat("releases/a/one.parquet").bytes == len(content)


def test_an_empty_file_is_an_object_too(object_store: ObjectStore, tmp_path: Path) -> None:
    object_store.put("empty", _file(tmp_path, b""))
    assert object_store.stat("empty").bytes == 0
    assert _content(object_store, "empty", tmp_path) == b""


def test_a_taken_key_is_refused_and_keeps_its_bytes(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put("taken", _file(tmp_path, b"first"))
    with pytest.raises(ObjectExists):
        object_store.put("taken", _file(tmp_path, b"second"))
    assert _content(object_store, "taken", tmp_path) == b"first"


def test_of_many_writers_of_one_key_exactly_one_wins(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    writers = 16
    files = [_file(tmp_path, f"writer {number}".encode()) for number in range(writers)]
    together = Barrier(writers)

    def write(number: int) -> bool:
        together.wait()
        try:
            object_store.put("raced", files[number])
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(write, range(writers)))
    assert won.count(True) == 1
    assert _content(object_store, "raced", tmp_path) == f"writer {won.index(True)}".encode()


def test_an_absent_object_is_told_as_missing(object_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        object_store.stat("absent")
    with pytest.raises(ObjectMissing):
        object_store.fetch("absent", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put("releases/a/one", _file(tmp_path, b"x"))
    object_store.delete("releases/a/one")
    object_store.delete("releases/a/one")
    object_store.delete("releases/never/was")
    with pytest.raises(ObjectMissing):
        object_store.stat("releases/a/one")


def test_a_listing_holds_what_begins_with_the_prefix_in_key_order(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = ["a/z", "a-b/x", "a/b/c", "a.txt", "ab", "b/a", "a/b.d"]
    for key in keys:
        object_store.put(key, _file(tmp_path, key.encode()))
    assert [found.key for found in object_store.list("")] == sorted(keys)
    assert [found.key for found in object_store.list("a/")] == ["a/b.d", "a/b/c", "a/z"]
    assert [found.key for found in object_store.list("a")] == sorted(set(keys) - {"b/a"})
    assert [found.key for found in object_store.list("a/b")] == ["a/b.d", "a/b/c"]
    assert list(object_store.list("nothing/")) == []


def test_a_listing_tells_size_and_an_aware_time_as_stat_does(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put("releases/one", _file(tmp_path, b"12345"))
    (listed,) = object_store.list("releases/")
    described = object_store.stat("releases/one")
    assert listed.bytes == described.bytes == 5
    assert listed.modified_at.utcoffset() is not None
    assert abs((listed.modified_at - described.modified_at).total_seconds()) < 1


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../outside", "a/../b", "a//b", "a/", ".incoming/x", "a\0b", "a\nb", "ü"],
)
def test_a_key_that_leads_elsewhere_is_refused(
    object_store: ObjectStore, tmp_path: Path, key: str
) -> None:
    with pytest.raises(InvalidKey):
        object_store.put(key, _file(tmp_path, b"x"))
    with pytest.raises(InvalidKey):
        object_store.fetch(key, tmp_path / "copy")
    with pytest.raises(InvalidKey):
        object_store.stat(key)
    with pytest.raises(InvalidKey):
        object_store.delete(key)


def test_a_fetch_leaves_a_file_that_is_there_alone(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    object_store.put("one", _file(tmp_path, b"object"))
    taken = _file(tmp_path, b"mine")
    with pytest.raises(Exception, match="exist"):
        object_store.fetch("one", taken)
    assert taken.read_bytes() == b"mine"


def test_a_fit_store_passes_its_probe_and_keeps_nothing_of_it(object_store: ObjectStore) -> None:
    object_store.probe()
    object_store.probe()
    assert list(object_store.list("")) == []
