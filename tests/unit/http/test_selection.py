"""Conditions and ranges as RFC 9110 has them."""

from http import HTTPStatus

import pytest

from marketplace.api.selection import select
from marketplace.errors import PreconditionFailed, RangeUnsatisfiable

TAG = '"abc"'
OTHER = '"other"'
SIZE = 100


def asked(method: str = "GET", **headers: str) -> tuple[int, range]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return select(method, named, tag=TAG, size=SIZE)


WHOLE = (HTTPStatus.OK, range(SIZE))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-9", range(10)),
        ("bytes=90-", range(90, 100)),
        ("bytes=-10", range(90, 100)),
        ("bytes=-1000", range(100)),
        ("bytes=90-1000", range(90, 100)),
        ("bytes=0-", range(100)),
        ("bytes=99-99", range(99, 100)),
        ("bytes= 5-6 ", range(5, 7)),
    ],
)
def test_one_range_is_answered_with_its_bytes(text: str, part: range) -> None:
    assert asked(range=text) == (HTTPStatus.PARTIAL_CONTENT, part)


@pytest.mark.parametrize(
    "text",
    [
        "bytes=0-1,5-6",
        "bytes=9-5",
        "bytes=-",
        "bytes=a-b",
        "bytes=",
        "items=0-5",
        "bytes=" + "9" * 5000 + "-",
        "bytes=-5-6",
        "",
    ],
)
def test_several_ranges_and_what_is_none_are_answered_with_the_whole_file(text: str) -> None:
    assert asked(range=text) == WHOLE


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_a_range_outside_of_the_file_is_refused_with_its_size(text: str) -> None:
    with pytest.raises(RangeUnsatisfiable) as refused:
        asked(range=text)
    assert refused.value.size == SIZE


def test_only_get_has_ranges() -> None:
    assert asked("HEAD", range="bytes=0-9") == WHOLE


@pytest.mark.parametrize("validator", [OTHER, f"W/{TAG}", "Sun, 22 Nov 2026 12:00:00 GMT", ""])
def test_a_range_of_another_file_is_answered_with_the_whole_of_this_one(validator: str) -> None:
    assert asked(range="bytes=5-9", if_range=validator) == WHOLE
    assert asked(range="bytes=500-", if_range=validator) == WHOLE


def test_a_range_of_this_file_is_answered_with_its_bytes() -> None:
    assert asked(range="bytes=5-9", if_range=TAG) == (HTTPStatus.PARTIAL_CONTENT, range(5, 10))


@pytest.mark.parametrize("known", [TAG, f"{OTHER}, {TAG}", f"W/{TAG}", "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_the_caller_has_is_not_sent(known: str, method: str) -> None:
    status, part = asked(method, if_none_match=known, range="bytes=0-9")
    assert (status, len(part)) == (HTTPStatus.NOT_MODIFIED, 0)


@pytest.mark.parametrize("known", [OTHER, "abc", "", '"ab"'])
def test_a_file_that_the_caller_has_not_is_sent(known: str) -> None:
    assert asked(if_none_match=known) == WHOLE


@pytest.mark.parametrize("meant", [OTHER, f"W/{TAG}", ""])
def test_a_call_that_is_meant_for_another_file_is_refused(meant: str) -> None:
    with pytest.raises(PreconditionFailed):
        asked(if_match=meant, if_none_match=TAG)


@pytest.mark.parametrize("meant", [TAG, "*", f"{OTHER},{TAG}"])
def test_a_call_that_is_meant_for_this_file_is_answered(meant: str) -> None:
    assert asked(if_match=meant) == WHOLE
