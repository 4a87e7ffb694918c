"""What parent and confined process say to each other over two pipes.

A request is a length and a MessagePack body. An answer is a row of frames: a kind, a length, a
payload. DATA carries bytes as they are, LAST the last of them, NOTE something said on the way
(progress), and only END makes an answer complete: a reader that meets the end of the pipe before it
has lost the process. LAST and END leave together, so who has read LAST may read on and not wait.
SHARED says in which slot of shared memory bytes lie that would be DATA otherwise, and how many.
"""

import os
import struct
from enum import IntEnum
from time import monotonic
from typing import IO, NamedTuple

import msgspec

from catalogue import errors as catalogue
from catalogue.errors import Problem
from marketplace import errors
from marketplace.engine.slots import SLOT, WritableSlots

CHUNK = 1024 * 1024
_FRAME_LIMIT = SLOT  # holds nearly every batch of an Arrow result whole
_WORTH_SHARING = 64 * 1024  # bytes; fewer go through the pipe sooner
_HEADER = struct.Struct("<BI")
_LENGTH = struct.Struct("<I")
SHARED = struct.Struct("<BI")
"""The payload of a SHARED frame: the slot, and how many bytes of it."""
_MOST_PIECES = 512
_MOMENT = 0.1  # seconds


class FrameKind(IntEnum):
    """READY: waiting for a request. ERROR: the request failed, the process may live on."""

    READY = 1
    DATA = 2
    NOTE = 3
    END = 4
    ERROR = 5
    LAST = 6
    SHARED = 7


class Place(NamedTuple):
    """Where in shared memory a payload lies, which its process may change at any moment."""

    slot: int
    view: memoryview


class Frame(NamedTuple):
    """One frame as it was read; its payload is at `place`, if that is in shared memory."""

    kind: FrameKind
    payload: bytes
    place: Place | None = None

    @property
    def size(self) -> int:
        """The bytes of the payload."""
        return len(self.payload if self.place is None else self.place.view)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error on its way to the parent. `where` names code, never values; it is for the log."""

    kind: str
    detail: str
    next_step: str = ""
    lines: tuple[str, ...] = ()
    where: str = ""


class Output:
    """The confined side: collects bytes into DATA frames of a mebibyte to eight.

    A frame ends where the writer offers what it has written, after a batch of rows, so a reader of
    Arrow finds each batch in one piece. Frames that cut batches cost it a copy of everything.
    File-like, so that Arrow writes into it; what it is given must not be changed afterwards.
    """

    def __init__(self, descriptor: int, slots: WritableSlots | None = None) -> None:
        self._descriptor = descriptor
        self._slots = slots
        self._pieces: list[memoryview] = []
        self._pending = 0
        self._bytes = 0
        self._sent_at = -_MOMENT  # nothing of this answer has
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes for the answer; they leave once enough have come together."""
        view = memoryview(data).cast("B")
        self._pieces.append(view)
        self._pending += len(view)
        self._bytes += len(view)
        if self._pending >= _FRAME_LIMIT or len(self._pieces) >= _MOST_PIECES:
            self.flush()
        return len(view)

    def offer(self) -> None:
        """What has come together is of use by itself: it leaves, unless it is little and some left
        a moment ago.

        The first of an answer leaves at once, however long the next takes.
        """
        if self._pending >= CHUNK or monotonic() - self._sent_at >= _MOMENT:
            self.flush()

    def flush(self) -> None:
        """Send what has come together."""
        pieces, self._pieces, self._pending = self._pieces, [], 0
        self._sent_at = monotonic()
        for part in _parts(pieces):
            self._send(self._data(part))

    @property
    def taken(self) -> int:
        """How many bytes this answer has been given."""
        return self._bytes

    def end(self, message: bytes) -> None:
        """Send what is left, and with it the END that makes the answer complete."""
        *parts, last = _parts(self._pieces) or [[]]
        for part in parts:
            self._send(self._data(part))
        left = _frame(FrameKind.LAST, last) if last else []
        self._send([*left, *_frame(FrameKind.END, [memoryview(message)])])
        self._begin()

    def discard(self) -> None:
        """Forget what has not been sent: the answer has failed."""
        self._begin()

    def close(self) -> None:
        """Arrow closes what it has written to; the pipe stays open for the next answer."""

    def say(self, kind: FrameKind, message: bytes) -> None:
        """Send a frame of another kind than DATA."""
        self._send(_frame(kind, [memoryview(message)]))

    def note(self, message: msgspec.Struct) -> None:
        """Say something on the way."""
        self.say(FrameKind.NOTE, msgspec.msgpack.encode(message))

    def _data(self, part: list[memoryview]) -> list[memoryview]:
        size = sum(map(len, part))
        if self._slots is None or size < _WORTH_SHARING:
            return _frame(FrameKind.DATA, part)
        place = SHARED.pack(self._slots.write(part), size)
        return _frame(FrameKind.SHARED, [memoryview(place)])

    def _begin(self) -> None:
        self._pieces, self._pending, self._bytes = [], 0, 0
        self._sent_at = -_MOMENT

    def _send(self, waiting: list[memoryview]) -> None:
        while waiting:
            written = os.writev(self._descriptor, waiting)
            while waiting and written >= len(waiting[0]):
                written -= len(waiting.pop(0))
            if waiting:
                waiting[0] = waiting[0][written:]


def _frame(kind: FrameKind, pieces: list[memoryview]) -> list[memoryview]:
    return [memoryview(_HEADER.pack(kind, sum(map(len, pieces)))), *pieces]


def _parts(pieces: list[memoryview]) -> list[list[memoryview]]:
    """Group pieces into frames of bounded bytes, cutting the large ones."""
    parts: list[list[memoryview]] = []
    room = 0
    for piece in pieces:
        while piece:
            if room == 0:
                parts.append([])
                room = _FRAME_LIMIT
            parts[-1].append(piece[:room])
            taken = len(parts[-1][-1])
            piece = piece[taken:]
            room -= taken
    return parts


def read_frame(source: IO[bytes]) -> Frame | None:
    """The next frame, or None where the pipe ends or holds what no honest process writes."""
    header = source.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    kind, size = _HEADER.unpack(header)
    if kind not in FrameKind.__members__.values() or size > _FRAME_LIMIT:
        return None
    payload = source.read(size)
    return Frame(FrameKind(kind), payload) if len(payload) == size else None


def write_request(sink: IO[bytes], body: bytes) -> None:
    """Send one request."""
    sink.write(_LENGTH.pack(len(body)) + body)
    sink.flush()


def read_request(source: IO[bytes]) -> bytes | None:
    """The next request, or None when the parent is gone."""
    header = source.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    body = source.read(_LENGTH.unpack(header)[0])
    return body or None


# A process that was taken over could send anything: only these become errors of their own kind.
_TOLD: dict[str, type[Problem]] = {
    kind.__name__: kind
    for kind in (
        catalogue.ContractBroken,
        errors.FileUnreadable,
        errors.StatementRefused,
        errors.QueryFailed,
        errors.QueryTooLarge,
        errors.ConfinementMissing,
    )
}
_LONGEST_SENTENCE = 4000
_MOST_LINES = 1000


def problem_of(failure: Failure) -> Problem:
    """The error to raise for what a confined process told."""
    kind = _TOLD.get(failure.kind)
    if kind is None:
        return errors.WorkerLost(
            "The process that did the work failed in a way that it should not.",
            next_step="Try again; if it stays so, tell the operator.",
        )
    return kind(
        failure.detail[:_LONGEST_SENTENCE],
        next_step=failure.next_step[:_LONGEST_SENTENCE],
        lines=[line[:_LONGEST_SENTENCE] for line in failure.lines[:_MOST_LINES]],
    )
