"""Places for work: so many for one person, so many in all, each given back."""

from collections.abc import Iterator

import pytest

from marketplace.admission import Admission
from marketplace.api.lanes import Lane
from marketplace.errors import ServiceBusy


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane(Admission("queries", per_person=2, in_all=3))
    yield lane
    lane.close()


def test_one_person_gets_no_more_than_their_places(lane: Lane) -> None:
    with lane.place("ann"), lane.place("ann"):
        with pytest.raises(ServiceBusy) as caught, lane.place("ann"):
            pass
        assert "2 queries" in str(caught.value)
        with lane.place("bob"):
            pass


def test_all_together_get_no_more_than_there_are(lane: Lane) -> None:
    with (
        lane.place("ann"),
        lane.place("bob"),
        lane.place("cal"),
        pytest.raises(ServiceBusy),
        lane.place("dan"),
    ):
        pass


def test_a_place_comes_back_also_where_the_work_failed(lane: Lane) -> None:
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), lane.place("ann"), lane.place("ann"):
            raise ZeroDivisionError
    with lane.place("ann"), lane.place("ann"):
        pass
