import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.errors import SourceInterrupted, SourceTooLarge
from connectors.upload import Spool, Upload


def test_a_stream_becomes_one_private_file_with_its_digest(tmp_path: Path) -> None:
    chunks = [b"a,b\n", b"", b"1,2\n"]
    fetched = Upload(chunks, name="homes.csv", limit=8, declared=8).fetch(tmp_path)
    assert fetched.path.read_bytes() == b"a,b\n1,2\n"
    assert fetched.path.stat().st_mode & 0o777 == 0o600
    assert (fetched.name, fetched.bytes) == ("homes.csv", 8)
    assert fetched.sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0b", ""])
def test_the_senders_name_decides_no_path(tmp_path: Path, name: str) -> None:
    fetched = Upload([b"x"], name=name, limit=8).fetch(tmp_path)
    assert fetched.path.parent == tmp_path
    assert fetched.name == name


def test_a_byte_above_the_limit_is_refused_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b"1234"

    with pytest.raises(SourceTooLarge):
        Upload(endless(), name="x", limit=11).fetch(tmp_path)
    assert len(taken) == 3
    assert list(tmp_path.iterdir()) == []


def test_an_announced_excess_is_refused_before_a_byte_is_read(tmp_path: Path) -> None:
    taken = []

    def noting() -> Iterator[bytes]:
        taken.append(1)
        yield b""

    with pytest.raises(SourceTooLarge):
        Upload(noting(), name="x", limit=10, declared=11).fetch(tmp_path)
    assert taken == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("declared", [3, 5])
def test_another_length_than_was_announced_is_no_file(tmp_path: Path, declared: int) -> None:
    with pytest.raises(SourceInterrupted):
        Upload([b"1234"], name="x", limit=10, declared=declared).fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sender_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"1234"
        raise ConnectionResetError("peer")

    with pytest.raises(SourceInterrupted):
        Upload(broken(), name="x", limit=10).fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path, name="x", limit=10) as spool:
        spool.write(b"1234")
    assert list(tmp_path.iterdir()) == []
