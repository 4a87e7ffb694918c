"""A process is started before there is work for it; there is one at most."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.engine.limits import Limits
from marketplace.engine.roles import Role
from marketplace.engine.spare import Spare
from marketplace.errors import WorkerLost


@pytest.fixture
def spare(tmp_path: Path) -> Iterator[Spare]:
    spare = Spare(Role.INGEST, Limits(), scratch=tmp_path)
    yield spare
    spare.close()


def started(folder: Path) -> int:
    """How many processes have a private folder."""
    return len(list(folder.iterdir()))


def test_however_often_it_is_asked_for_one_process_waits(spare: Spare, tmp_path: Path) -> None:
    for _ in range(3):
        spare.start()
    assert started(tmp_path) == 1


def test_who_comes_first_takes_it_and_who_comes_next_gets_a_new_one(spare: Spare) -> None:
    spare.start()
    first, second = spare.take(), spare.take()
    try:
        first.warm()
        second.warm()
        assert first.pid != second.pid
    finally:
        first.close()
        second.close()


def test_one_that_died_while_it_waited_is_replaced(spare: Spare, tmp_path: Path) -> None:
    spare.start()
    dead = spare.take()
    dead.close()
    spare._process = dead
    process = spare.take()
    try:
        process.warm()
        assert process.pid != dead.pid
    finally:
        process.close()
    assert started(tmp_path) == 0


def test_after_it_was_closed_there_is_none(spare: Spare, tmp_path: Path) -> None:
    spare.start()
    spare.close()
    spare.start()
    assert started(tmp_path) == 0
    with pytest.raises(WorkerLost, match="stopping"):
        spare.take()
