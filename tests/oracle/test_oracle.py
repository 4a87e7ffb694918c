"""Everything that bears on a decision, drawn at random, against the naive evaluator.

Few worlds here; `make oracle` asks about as many as it is told.
"""

from hypothesis import HealthCheck, given, settings

from tests.oracle.checking import Tally, tell, tell_and_narrow
from tests.oracle.stories import Act, Story, closings, seeds, stories

few = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@few
@given(story=stories(), seed=seeds)
def test_every_answer_is_that_of_the_naive_evaluator(story: Story, seed: int) -> None:
    tell(story, seed, Tally(), questions=2)


@few
@given(story=stories(), closing=closings, seed=seeds)
def test_what_ends_shortens_or_stops_anything_opens_nothing(
    story: Story, closing: list[Act], seed: int
) -> None:
    tell_and_narrow(story, closing, seed, Tally(), questions=2)
