import os
from pathlib import Path

import pytest

from catalogue.errors import ObjectExists, ObjectMissing
from connectors.errors import StoreUnavailable
from connectors.local_store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "objects")


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files and folders that are flushed to disk, and links as they are made, in order."""
    seen: list[str] = []
    fsync, link = os.fsync, os.link

    def noting_fsync(handle: int) -> None:
        seen.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def noting_link(source: Path, target: Path) -> None:
        link(source, target)
        seen.append(f"link {target}")

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "link", noting_link)
    return seen


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


def test_the_bytes_are_flushed_before_the_name_and_every_folder_after_it(
    store: LocalStore, tmp_path: Path, flushed: list[str]
) -> None:
    store.put("releases/a/one", _file(tmp_path, b"x"))
    root = tmp_path / "objects"
    link = flushed.index(f"link {root}/releases/a/one")
    assert [path for path in flushed[:link] if "/.incoming/" in path]
    assert flushed[link + 1 :] == [
        f"{root}/releases/a",
        f"{root}/releases",
        f"{root}",
        f"{tmp_path}",
    ]


def test_a_name_that_another_writer_may_not_have_flushed_is_flushed_before_it_is_relied_on(
    store: LocalStore, tmp_path: Path, flushed: list[str]
) -> None:
    store.put("releases/a/one", _file(tmp_path, b"x"))
    flushed.clear()
    with pytest.raises(ObjectExists):
        store.put("releases/a/one", _file(tmp_path, b"x"))
    assert f"{tmp_path}/objects/releases/a" in flushed


def test_an_object_cannot_be_written_to_by_accident(store: LocalStore, tmp_path: Path) -> None:
    store.put("one", _file(tmp_path, b"x"))
    assert (tmp_path / "objects/one").stat().st_mode & 0o222 == 0


def test_a_crash_before_the_name_leaves_no_object_and_is_cleared_a_day_later(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", crash)
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            store.put("releases/a/one", _file(tmp_path, b"x"))
    assert list(store.list("")) == []
    with pytest.raises(ObjectMissing):
        store.stat("releases/a/one")

    (left,) = (tmp_path / "objects/.incoming").iterdir()
    store.probe()
    assert left.exists(), "another process may still be writing it"
    os.utime(left, (0, 0))
    store.probe()
    assert not left.exists()


def test_a_full_disk_is_told_without_the_paths_of_the_machine(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left") as refused:
        store.put("one", _file(tmp_path, b"x"))
    assert str(tmp_path) not in refused.value.detail + refused.value.next_step
    assert list(store.list("")) == []
    assert list((tmp_path / "objects/.incoming").iterdir()) == []


def test_a_link_out_of_the_folder_is_no_object(store: LocalStore, tmp_path: Path) -> None:
    store.put("one", _file(tmp_path, b"x"))
    (tmp_path / "objects/two").symlink_to(tmp_path / "file")
    (tmp_path / "objects/three").symlink_to("/etc")
    assert [found.key for found in store.list("")] == ["one"]
    with pytest.raises(ObjectMissing):
        store.stat("two")
    with pytest.raises(ObjectMissing):
        store.fetch("two", tmp_path / "copy")
