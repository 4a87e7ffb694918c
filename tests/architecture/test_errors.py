import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import access_policies
import catalogue
import connectors
import marketplace
from access_policies.errors import PolicyError
from catalogue.errors import Problem
from marketplace.errors import ANSWERS, FlightStatus

ROOMS = (catalogue, connectors, access_policies, marketplace)
# The client's errors are what a caller sees of these on the other side of the wire.
NOT_THE_SERVER = ("marketplace.client", "marketplace.cli", "marketplace.demo")


def _kinds(root: type[Exception]) -> Iterator[type[Exception]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _all_errors() -> set[type[Exception]]:
    for room in ROOMS:
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if module.name.startswith(NOT_THE_SERVER) or ".migrations." in module.name:
                continue
            if not module.name.endswith((".child", "__main__")):
                importlib.import_module(module.name)
    return {*_kinds(Problem), *_kinds(PolicyError)}


def test_every_error_has_its_own_line_in_the_one_table() -> None:
    missing = {kind.__name__ for kind in _all_errors() if kind not in ANSWERS}
    assert missing == set()


def test_every_error_stands_in_the_tree_of_its_rooms_docstring() -> None:
    untold = {
        kind.__name__
        for kind in _all_errors()
        if issubclass(kind, Problem)
        and kind.__name__ not in f"{catalogue.errors.__doc__}{marketplace.errors.__doc__}"
        and kind.__module__ != "connectors.errors"
    }
    assert untold == set()


@pytest.mark.parametrize("kind", sorted(ANSWERS, key=lambda kind: kind.__name__))
def test_an_answer_is_an_error_status_and_a_failing_exit_code(kind: type[Exception]) -> None:
    assert ANSWERS[kind].status >= 400
    assert 1 <= ANSWERS[kind].exit_code <= 9


@pytest.mark.parametrize("kind", sorted(ANSWERS, key=lambda kind: kind.__name__))
def test_flight_tells_the_same_of_an_error_as_http_does(kind: type[Exception]) -> None:
    answer = ANSWERS[kind]
    faults_of_the_service = {
        FlightStatus.INTERNAL,
        FlightStatus.UNAVAILABLE,
        FlightStatus.TIMED_OUT,
    }
    assert (answer.flight in faults_of_the_service) == (answer.status >= 500)
    assert (answer.flight is FlightStatus.UNAUTHENTICATED) == (answer.status == 401)
    assert (answer.flight is FlightStatus.UNAUTHORIZED) == (answer.status == 403)
