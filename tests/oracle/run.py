"""`make oracle`: the decision point beside the naive evaluator, as often as asked.

    python -m tests.oracle.run 100000

Counts pairs of a world and a request. Hypothesis draws the worlds; where both differ it looks for the
shortest story, and the error ends with what happened in it.
"""

import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings

from tests.oracle.checking import Tally, tell, tell_and_narrow
from tests.oracle.stories import Act, Story, closings, seeds, stories

BATCH = 250
QUESTIONS = 4

many = settings(
    max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def compare(count: int) -> Tally:
    """At least so many decisions, each of them asked of both."""
    tally = Tally()

    @many
    @given(story=stories(), seed=seeds)
    def batch(story: Story, seed: int) -> None:
        tell(story, seed, tally, questions=QUESTIONS)

    _repeat(batch, tally, lambda: tally.decisions, count, "decisions compared")
    return tally


def narrow(count: int) -> Tally:
    """At least so many decisions, each asked before and after something was closed."""
    tally = Tally()

    @many
    @given(story=stories(), closing=closings, seed=seeds)
    def batch(story: Story, closing: list[Act], seed: int) -> None:
        tell_and_narrow(story, closing, seed, tally, questions=QUESTIONS)

    _repeat(batch, tally, lambda: tally.again, count, "decisions asked again")
    return tally


def _repeat(
    batch: Callable[[], None], tally: Tally, done: Callable[[], int], count: int, what: str
) -> None:
    while done() < count:
        batch()
        _say(f"  {tally.worlds:,} worlds, {done():,} of {count:,} {what}")


def main(count: int) -> None:
    began = time.process_time()
    compared = compare(count)
    narrowed = narrow(count // 4)
    _say(
        f"No difference in {compared.decisions:,} decisions ({compared.allowed:,} of them yes) and "
        f"{compared.lists:,} lists over {compared.worlds:,} worlds."
    )
    for because, times in compared.because.most_common():
        _say(f"  {times:>9,}  {because}")
    _say(
        f"{narrowed.narrowings:,} closings in {narrowed.worlds:,} worlds opened nothing "
        f"({narrowed.again:,} decisions asked again)."
    )
    _say(f"{time.process_time() - began:,.0f} seconds of processor.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
