"""Works timed in turns, so that a machine that is busy for a while slows all of them."""

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter, sleep

Seconds = list[float]


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    started = perf_counter()
    work()
    return perf_counter() - started


def in_turns(
    works: Mapping[str, Callable[[], object]], rounds: int, *, settle: float = 0
) -> dict[str, Seconds]:
    """Time every work once a round; each round another one begins.

    `settle` are seconds to wait before each, for what the one before it left to do afterwards (such
    as to start the next spare process).
    """
    taken: dict[str, Seconds] = {name: [] for name in works}
    for number in range(rounds):
        for name in turn(list(works), number):
            sleep(settle)
            taken[name].append(timed(works[name]))
    return taken


def turn(names: list[str], number: int) -> list[str]:
    """The order of round `number`."""
    first = number % len(names)
    return names[first:] + names[:first]


def ratio(measured: Seconds, against: Seconds) -> float:
    """The one's median in terms of the other's."""
    return statistics.median(measured) / statistics.median(against)


def milliseconds(taken: Seconds, percentile: int = 50) -> float:
    """A percentile (nearest rank)."""
    ranked = sorted(taken)
    return ranked[min(len(ranked) - 1, len(ranked) * percentile // 100)] * 1000
