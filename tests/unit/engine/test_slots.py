"""Large pieces of an answer lie in memory that a worker shares with the service, and with nobody else."""

import fcntl
import mmap
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import cast

import pytest

from marketplace.engine.frames import SHARED, Frame, FrameKind, Output, Place, read_frame
from marketplace.engine.limits import Limits
from marketplace.engine.process import Call, ConfinedProcess
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.workers import QueryWorkers
from marketplace.engine.slots import SLOT, Slots, WritableSlots
from marketplace.errors import WorkerLost

CSV = Encoding(OutputFormat.CSV)
LARGE = "SELECT i, repeat('x', 100) AS text FROM range(1000000) t(i)"


@pytest.fixture
def slots() -> Iterator[Slots]:
    """The service's side; `slots.inherited` is what the process would get."""
    slots = Slots()
    yield slots
    slots.close()
    for descriptor in slots.inherited:
        os.close(descriptor)


class Answering:
    """A process that has sent three large pieces and the end of its answer."""

    def __init__(self, slots: Slots, process: WritableSlots) -> None:
        self.slots = slots
        self._frames = deque(self._piece(process) for _ in range(3))
        self._frames.append(Frame(FrameKind.END, b""))

    def _piece(self, process: WritableSlots) -> Frame:
        slot = process.write([memoryview(b"piece")])
        assert self.slots.take(slot, 5)
        return Frame(FrameKind.DATA, b"", Place(slot, self.slots.view(slot, 5)))

    def next_frame(self) -> Frame:
        return self._frames.popleft()

    def interrupt(self, number: int) -> None:
        """It has ended already."""

    @property
    def account(self) -> "Answering":
        return self

    def resident(self) -> int:
        return 0


def writable(slots: Slots) -> WritableSlots:
    return WritableSlots(*map(os.dup, slots.inherited))


def test_what_a_process_writes_is_read_where_it_lies(slots: Slots) -> None:
    slot = writable(slots).write([memoryview(b"one "), memoryview(b"and two")])

    assert slots.take(slot, 11)
    assert slots.view(slot, 11) == b"one and two"


def test_a_slot_is_written_again_only_when_it_was_given_back(slots: Slots) -> None:
    process = writable(slots)
    written = {process.write([memoryview(bytes((number,)))]) for number in range(3)}
    assert len(written) == 3
    for slot in written:
        assert slots.take(slot, 1)
    slots.give_back(1)

    assert process.write([memoryview(b"again")]) == 1
    assert slots.view(0, 1) != slots.view(2, 1)


def test_a_process_that_waits_for_a_slot_leaves_when_the_service_is_gone(slots: Slots) -> None:
    process = writable(slots)
    for _ in range(3):
        process.write([memoryview(b"full")])
    slots.close()

    with pytest.raises(BrokenPipeError):
        process.write([memoryview(b"nobody reads this")])


@pytest.mark.parametrize(("slot", "size"), [(3, 1), (255, 1), (0, 0), (0, SLOT + 1)])
def test_a_place_outside_of_the_memory_is_not_taken(slots: Slots, slot: int, size: int) -> None:
    assert not slots.take(slot, size)


def test_a_slot_that_is_still_read_is_not_taken_again(slots: Slots) -> None:
    assert slots.take(1, 10)
    assert not slots.take(1, 10)


def test_a_process_cannot_cut_off_memory_that_the_service_reads(slots: Slots) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(slots.inherited[0], 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(slots.inherited[0], fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_resting_lets_go_of_the_pages_of_every_slot_that_nobody_reads(slots: Slots) -> None:
    process = writable(slots)
    text = memoryview(b"x" * mmap.PAGESIZE)
    read, left = process.write([text]), process.write([text])
    assert slots.take(read, len(text))
    assert slots.take(left, len(text))
    slots.give_back(left)
    slots.rest()

    assert slots.view(read, len(text)) == text
    assert os.fstat(slots.inherited[0]).st_blocks * 512 == mmap.PAGESIZE


def test_a_view_outlives_the_process_that_it_came_from(slots: Slots) -> None:
    slot = writable(slots).write([memoryview(b"kept")])
    assert slots.take(slot, 4)
    view = slots.view(slot, 4)
    slots.close()

    assert view == b"kept"


def test_small_pieces_go_through_the_pipe_and_large_ones_do_not(slots: Slots) -> None:
    reading, writing = os.pipe()
    output = Output(writing, writable(slots))
    output.write(b"small")
    output.flush()
    output.write(b"x" * 100_000)
    output.flush()
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        small, large = read_frame(source), read_frame(source)

    assert small is not None
    assert large is not None
    assert (small.kind, small.payload) == (FrameKind.DATA, b"small")
    assert (large.kind, SHARED.unpack(large.payload)[1]) == (FrameKind.SHARED, 100_000)


def test_what_is_relayed_are_the_bytes_of_the_result(workers: QueryWorkers) -> None:
    taken: list[bytes] = []

    def take(piece: bytes | memoryview) -> list[bytes]:
        taken.append(bytes(piece))
        return [b"left"] if len(taken) % 3 == 0 else []

    with workers.run((), LARGE, CSV) as stream:
        while stream.relay(take):
            pass

    assert b"".join(taken) == b"".join(workers.run((), LARGE, CSV))
    assert sum(map(len, taken)) == stream.bytes


def test_a_reader_that_does_not_keep_up_holds_no_slot(limits: Limits, tmp_path: Path) -> None:
    workers = QueryWorkers(limits, places=1, spares=0, scratch=tmp_path, patience=30.0)
    with closing(workers), ExitStack() as slow:
        for _ in range(4):
            stream = slow.enter_context(workers.run((), LARGE, CSV))
            assert stream.relay(lambda piece: [bytes(piece)])
        with workers.run((), "SELECT 1", CSV) as other:
            assert b"".join(other)


def test_pieces_that_are_kept_are_not_written_over(workers: QueryWorkers) -> None:
    pieces = list(workers.run((), LARGE, CSV))

    assert len(pieces) > 6
    assert b"".join(pieces).count(b"\n") == 1_000_001


def test_an_answer_that_nobody_reads_on_gives_every_slot_back(slots: Slots) -> None:
    os.set_blocking(slots.inherited[1], False)
    process = writable(slots)
    call = Call(cast("ConfinedProcess", Answering(slots, process)), 1, 60.0, Limits())
    next(call)
    call.stop(WorkerLost("Its reader has left."))
    call.drain()

    assert call.over
    assert len({process.write([memoryview(b"free again")]) for _ in range(2)}) == 2


def test_a_worker_lives_on_after_results_that_were_left_early(workers: QueryWorkers) -> None:
    with workers.run((), "SELECT 1", CSV) as before:
        list(before)
    for read in range(6):
        with workers.run((), LARGE, CSV) as left:
            list(islice(left, read))
    with workers.run((), LARGE, CSV) as after:
        assert sum(map(len, after)) > 100_000_000

    assert after.rows == 1_000_000
    assert after.pid == before.pid
