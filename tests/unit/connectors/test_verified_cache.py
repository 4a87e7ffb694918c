import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock

import pytest

from catalogue.dataset import DataFile
from catalogue.errors import ObjectCorrupted, ObjectMissing
from catalogue.object_store import ObjectStore, StoredObject
from connectors.local_store import LocalStore
from connectors.verified_cache import VerifiedCache

LARGE = 10**9


class CountingStore:
    """A real store that counts how often each object is fetched from it."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.fetched: Counter[str] = Counter()
        self._guard = Lock()

    def put(self, key: str, path: Path) -> None:
        self.store.put(key, path)

    def fetch(self, key: str, into: Path) -> None:
        with self._guard:
            self.fetched[key] += 1
        self.store.fetch(key, into)

    def stat(self, key: str) -> StoredObject:
        return self.store.stat(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self.store.list(prefix)

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def probe(self) -> None:
        self.store.probe()


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(LocalStore(tmp_path / "objects"))


@pytest.fixture
def keep(store: CountingStore, tmp_path: Path) -> Callable[[bytes], DataFile]:
    def put(content: bytes) -> DataFile:
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / digest
        path.write_bytes(content)
        file = DataFile(
            key=f"releases/x/{digest}.parquet", sha256=digest, bytes=len(content), rows=1
        )
        store.put(file.key, path)
        return file

    return put


def _read(cache: VerifiedCache, file: DataFile) -> bytes:
    with cache.pinned([file]) as (path,):
        return path.read_bytes()


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_file_is_fetched_once_and_is_read_only_under_the_name_of_its_content(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file = keep(b"content")
    cache = VerifiedCache(store, tmp_path / "cache", LARGE)
    for _ in range(3):
        with cache.pinned([file, file]) as (path, again):
            assert path == again == tmp_path / "cache" / f"{file.sha256}.parquet"
            assert path.read_bytes() == b"content"
            assert path.stat().st_mode & 0o777 == 0o444
    assert store.fetched[file.key] == 1


def test_bytes_altered_in_the_store_are_never_served(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    content = os.urandom(2000)
    file = keep(content)
    stored = tmp_path / "objects" / file.key
    for place in range(0, len(content), 50):
        _flip(stored, place)
        cache = VerifiedCache(store, tmp_path / "cache", LARGE)
        with pytest.raises(ObjectCorrupted):
            _read(cache, file)
        assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["incoming"]
        _flip(stored, place)
    assert _read(VerifiedCache(store, tmp_path / "cache", LARGE), file) == content


@pytest.mark.parametrize("alter", [b"", b"content and more", b"conten", b"CONTENT"])
def test_a_stored_file_of_another_length_or_content_is_never_served(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path, alter: bytes
) -> None:
    file = keep(b"content")
    stored = tmp_path / "objects" / file.key
    stored.chmod(0o644)
    stored.write_bytes(alter)
    with pytest.raises(ObjectCorrupted):
        _read(VerifiedCache(store, tmp_path / "cache", LARGE), file)


@pytest.mark.parametrize("restarted", [False, True])
def test_bytes_altered_in_the_cache_are_fetched_again(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path, restarted: bool
) -> None:
    content = os.urandom(2000)
    file = keep(content)
    cache = VerifiedCache(store, tmp_path / "cache", LARGE)
    for place in range(0, len(content), 50):
        with cache.pinned([file]) as (path,):
            assert path.read_bytes() == content
        _flip(path, place)
        if restarted:
            cache = VerifiedCache(store, tmp_path / "cache", LARGE)
        assert _read(cache, file) == content
    assert store.fetched[file.key] == 41


def test_bytes_altered_with_their_times_put_back_are_noticed_all_the_same(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file = keep(b"content")
    cache = VerifiedCache(store, tmp_path / "cache", LARGE)
    with cache.pinned([file]) as (path,):
        before = path.stat()
    _flip(path, 3)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(0o444)
    assert _read(cache, file) == b"content"


def test_a_link_put_in_the_place_of_a_copy_is_replaced(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file = keep(b"content")
    cache = VerifiedCache(store, tmp_path / "cache", LARGE)
    with cache.pinned([file]) as (path,):
        pass
    (tmp_path / "elsewhere").write_bytes(b"content")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with cache.pinned([file]) as (path,):
        assert not path.is_symlink()


def test_a_copy_of_an_earlier_run_is_read_through_before_it_is_used_again(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file = keep(b"content")
    _read(VerifiedCache(store, tmp_path / "cache", LARGE), file)
    assert _read(VerifiedCache(store, tmp_path / "cache", LARGE), file) == b"content"
    assert store.fetched[file.key] == 1


def test_threads_that_want_one_file_at_once_fetch_it_once(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    files = [keep(os.urandom(100_000)) for _ in range(4)]
    cache = VerifiedCache(store, tmp_path / "cache", LARGE)
    together = Barrier(16)

    def read(number: int) -> bool:
        together.wait()
        file = files[number % 4]
        return hashlib.sha256(_read(cache, file)).hexdigest() == file.sha256

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(16)))
    assert store.fetched == {file.key: 1 for file in files}


def test_the_least_recently_used_file_goes_first_and_a_pinned_one_never(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    pinned, old, new = (keep(bytes([number]) * 100) for number in range(3))
    cache = VerifiedCache(store, tmp_path / "cache", 250)

    def held() -> set[str]:
        return {path.stem for path in (tmp_path / "cache").glob("*.parquet")}

    with cache.pinned([pinned]) as (path,):
        _read(cache, old)
        _read(cache, new)
        assert held() == {pinned.sha256, new.sha256}
        with cache.pinned([old, new]) as paths:
            assert all(path.exists() for path in paths), "beyond the limit while all are pinned"
        assert path.read_bytes() == bytes(100)
        assert len(held()) == 2
    _read(cache, old)
    _read(cache, new)
    assert held() == {old.sha256, new.sha256}


def test_files_of_an_earlier_run_count_towards_the_limit(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    _read(VerifiedCache(store, tmp_path / "cache", LARGE), keep(b"a" * 100))
    (tmp_path / "cache" / "incoming" / "unfinished").write_bytes(b"b" * 100)
    file = keep(b"c" * 100)
    _read(VerifiedCache(store, tmp_path / "cache", 150), file)
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == [f"{file.sha256}.parquet"]


def test_readers_under_eviction_always_find_whole_files(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    files = [keep(os.urandom(1000)) for _ in range(8)]
    cache = VerifiedCache(store, tmp_path / "cache", 2500)

    def read(number: int) -> bool:
        wanted = [files[number % 8], files[(number * 3 + 1) % 8]]
        with cache.pinned(wanted) as paths:
            found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        return found == [file.sha256 for file in wanted]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))
    held = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.parquet"))
    assert held <= 2500


def test_a_file_that_fails_leaves_nothing_pinned(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file, gone = keep(b"a" * 100), keep(b"b" * 100)
    store.delete(gone.key)
    cache = VerifiedCache(store, tmp_path / "cache", 0)
    with pytest.raises(ObjectMissing), cache.pinned([file, gone]):
        pass
    assert list((tmp_path / "cache").glob("*.parquet")) == []


def test_a_name_that_is_no_digest_cannot_lead_out_of_the_cache(
    store: CountingStore, tmp_path: Path
) -> None:
    file = DataFile(key="releases/x", sha256="../../etc/passwd", bytes=1, rows=1)
    cache = VerifiedCache(store, tmp_path / "cache", LARGE)
    with pytest.raises(ObjectCorrupted), cache.pinned([file]):
        pass


def test_a_copy_that_another_process_has_pinned_is_not_removed(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file, other = keep(b"a" * 100), keep(b"b" * 100)
    theirs = VerifiedCache(store, tmp_path / "cache", LARGE)
    ours = VerifiedCache(store, tmp_path / "cache", 0)
    with theirs.pinned([file]) as (path,):
        _read(ours, file)
        _read(ours, other)
        assert path.read_bytes() == b"a" * 100
    _read(ours, other)
    assert list((tmp_path / "cache").glob("*.parquet")) == []


def test_a_reader_of_a_killed_process_keeps_nothing_in_the_cache(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    file = keep(b"a" * 100)
    _read(VerifiedCache(store, tmp_path / "cache", LARGE), file)
    (copy,) = (tmp_path / "cache").glob("*.parquet")
    code = "import sys, pathlib; from connectors.file_lock import hold; "
    code += "hold(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    reader = subprocess.Popen(
        [sys.executable, "-c", code, copy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"held\n"
        ours = VerifiedCache(store, tmp_path / "cache", 0)
        _read(ours, file)
        assert copy.exists()
        reader.kill()
    _read(ours, file)
    assert not copy.exists()


def test_processes_that_want_one_file_at_once_fetch_it_once(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    files = [keep(os.urandom(100_000)) for _ in range(4)]
    caches = [VerifiedCache(store, tmp_path / "cache", LARGE) for _ in range(8)]
    together = Barrier(8)

    def read(cache: VerifiedCache) -> bool:
        together.wait()
        return all(hashlib.sha256(_read(cache, f)).hexdigest() == f.sha256 for f in files)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, caches))
    assert store.fetched == {file.key: 1 for file in files}


def test_a_process_that_starts_leaves_what_another_fetches(
    keep: Callable[[bytes], DataFile], store: CountingStore, tmp_path: Path
) -> None:
    file, other = keep(b"a" * 100), keep(b"b" * 100)
    fetch = store.fetch

    def fetch_beside_a_start(key: str, into: Path) -> None:
        fetch(key, into)
        if key == file.key:
            _read(VerifiedCache(store, tmp_path / "cache", LARGE), other)

    store.fetch = fetch_beside_a_start  # type: ignore[method-assign]
    assert _read(VerifiedCache(store, tmp_path / "cache", LARGE), file) == b"a" * 100
    assert list((tmp_path / "cache" / "incoming").iterdir()) == []


def test_readers_of_many_processes_under_eviction_always_find_whole_files(
    store: CountingStore, keep: Callable[[bytes], DataFile], tmp_path: Path
) -> None:
    files = [keep(os.urandom(1000)) for _ in range(8)]
    caches = [VerifiedCache(store, tmp_path / "cache", 2500) for _ in range(4)]

    def read(number: int) -> bool:
        wanted = [files[number % 8], files[(number * 3 + 1) % 8]]
        with caches[number % 4].pinned(wanted) as paths:
            found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        return found == [file.sha256 for file in wanted]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))
