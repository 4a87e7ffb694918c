"""A result is handed over whole or relayed while access lasts, and its record is closed."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest

from access_policies import revision
from catalogue.errors import Problem
from marketplace.database import Database
from marketplace.delivery import Delivery, Watch
from marketplace.engine.query.result_stream import Take
from marketplace.errors import AccessEnded


class Pieces(Iterator[bytes]):
    """A result of two rows, of which all is there."""

    def __init__(self, *pieces: bytes) -> None:
        self.rows = 0
        self.size: int | None = sum(map(len, pieces))
        self._pieces = iter(pieces)

    def __next__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            self.rows = 2
            raise StopIteration
        return piece

    def relay(self, take: Take) -> list[bytes]:
        return next((left for piece in self if (left := take(piece))), [])

    def stop(self, reason: Problem) -> None:
        pass

    def close(self) -> None:
        pass


class ScriptedWatch:
    """Says that access stands, or raises why it does not."""

    def __init__(self, ended: Problem | None = None) -> None:
        self._ended = ended

    def look(self) -> None:
        if self._ended is not None:
            raise self._ended


class Read:
    """A delivery, and what is left of it when it has ended."""

    def __init__(self, result: Pieces, ended: Problem | None = None) -> None:
        self.closed: list[tuple[int, int, str]] = []
        self.let_go = False
        held = ExitStack()
        held.callback(setattr, self, "let_go", True)
        self.delivery = Delivery(
            result,
            cast("Watch", ScriptedWatch(ended)),
            entry="e",
            releases={},
            access_ends=datetime(2027, 1, 1, tzinfo=UTC),
            held=held,
            closing=lambda *told: self.closed.append(cast("Any", told)),
        )


def test_a_small_result_is_handed_over_whole_and_recorded_as_complete() -> None:
    read = Read(Pieces(b"abc", b"de"))

    assert read.delivery.whole(5) == b"abcde"
    assert read.closed == [(2, 5, "complete")]
    assert read.let_go


def test_a_larger_result_is_left_to_be_read_piece_by_piece() -> None:
    read = Read(Pieces(b"abc", b"de"))

    assert read.delivery.whole(4) is None
    assert read.closed == []
    assert list(read.delivery) == [b"abc", b"de"]
    assert read.closed == [(2, 5, "complete")]


def test_a_result_that_is_still_being_made_is_left_to_be_read_piece_by_piece() -> None:
    result = Pieces(b"abc")
    result.size = None
    read = Read(result)

    assert read.delivery.whole(1000) is None
    assert list(read.delivery) == [b"abc"]


def test_nothing_of_a_small_result_is_handed_over_once_access_has_ended() -> None:
    read = Read(Pieces(b"abc"), ended=AccessEnded("It was revoked."))

    with pytest.raises(AccessEnded):
        read.delivery.whole(1000)
    assert read.closed == [(0, 0, "AccessEnded")]
    assert read.let_go


def test_a_result_is_relayed_on_from_where_its_reader_did_not_keep_up() -> None:
    read = Read(Pieces(b"abc", b"de", b"f"))
    taken: list[bytes | memoryview] = []

    def take(piece: bytes | memoryview) -> list[bytes]:
        taken.append(piece)
        return [b"e"] if piece == b"de" else []

    assert read.delivery.relay(take) == [b"e"]
    assert (taken, read.closed) == ([b"abc", b"de"], [])
    assert read.delivery.relay(take) == []
    assert taken == [b"abc", b"de", b"f"]
    assert read.closed == [(2, 6, "complete")]
    assert read.let_go


def test_nothing_is_relayed_once_access_has_ended() -> None:
    read = Read(Pieces(b"abc"), ended=AccessEnded("It was revoked."))
    taken: list[bytes | memoryview] = []

    with pytest.raises(AccessEnded):
        read.delivery.relay(lambda piece: taken.append(piece) or [])
    assert taken == []
    assert read.closed == [(0, 0, "AccessEnded")]
    assert read.let_go


def test_a_result_whose_connection_breaks_is_recorded_as_cut_by_its_reader() -> None:
    read = Read(Pieces(b"abc"))

    def broken(_: bytes | memoryview) -> list[bytes]:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        read.delivery.relay(broken)
    assert read.closed == [(0, 3, "cut by the reader")]
    assert read.let_go


def test_a_result_lasts_as_long_as_what_was_last_agreed(
    database: Database, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed: datetime | None = clock() + timedelta(days=2)
    ticks = count()
    monkeypatch.setattr("marketplace.delivery.monotonic", lambda: next(ticks))
    watch = Watch(
        database,
        clock,
        since=0,
        until=clock() + timedelta(days=1),
        standing_until=lambda _: agreed,
    )
    with database.writing() as connection:
        revision.advance(connection)
    watch.look()
    clock.advance(timedelta(days=1))
    watch.look()
    agreed = clock() + timedelta(hours=1)
    with database.writing() as connection:
        revision.advance(connection)
    watch.look()
    clock.advance(timedelta(hours=1))
    with pytest.raises(AccessEnded, match="last day has passed"):
        watch.look()
