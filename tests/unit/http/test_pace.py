"""Who is silent or drips is given up; who moves bytes, however slowly within reason, is not."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from marketplace.api import pace
from marketplace.api.pace import Pace


class Clock:
    """A loop's time that only the other side moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.given: list[float] = []

    async def take(self, seconds: float) -> str:
        self.now += seconds
        if seconds > self.given[-1]:
            raise TimeoutError
        return "piece"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    class Timeout:
        def __init__(self, seconds: float) -> None:
            clock.given.append(seconds)

        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *_: object) -> None: ...

    loop = SimpleNamespace(get_running_loop=lambda: SimpleNamespace(time=lambda: clock.now))
    monkeypatch.setattr(pace, "asyncio", SimpleNamespace(timeout=Timeout, **vars(loop)))
    return clock


def run(steps: Callable[[], Any]) -> None:
    asyncio.run(steps())


def test_a_sender_who_drips_is_given_up_after_the_time_for_silence(clock: Clock) -> None:
    patience = Pace(stall=30.0, least=1000)

    async def drip() -> None:
        for _ in range(31):
            await patience.wait(clock.take(1.0))
            patience.moved(1)

    with pytest.raises(TimeoutError):
        run(drip)
    assert clock.now == 31.0


def test_a_slow_sender_of_enough_bytes_is_never_given_up(clock: Clock) -> None:
    patience = Pace(stall=30.0, least=1000)

    async def send() -> None:
        for _ in range(500):
            await patience.wait(clock.take(1.0))
            patience.moved(1000)

    run(send)


def test_silence_is_bounded_however_much_came_before(clock: Clock) -> None:
    patience = Pace(stall=30.0, least=1000)
    patience.moved(10**9)

    with pytest.raises(TimeoutError):
        run(lambda: patience.wait(clock.take(31.0)))


def test_a_reader_may_take_as_long_as_its_piece_is_large(clock: Clock) -> None:
    patience = Pace(stall=30.0, least=1000)

    run(lambda: patience.wait(clock.take(1000.0), size=1_000_000))
    with pytest.raises(TimeoutError):
        run(lambda: patience.wait(clock.take(1100.0), size=1_000_000))
