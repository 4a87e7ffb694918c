"""Which record a person means: its identifier, how that begins, or its dataset."""

from collections.abc import Iterable
from typing import NamedTuple

from marketplace.client import Client
from marketplace.client.errors import InvalidCall

_WHOLE = 32

_UNDECIDED = frozenset({"submitted", "in_review", "returned"})
_IN_FORCE = frozenset({"active", "suspended"})


class _Record(NamedTuple):
    """What may be meant; by its dataset only while it is open. `told` is for who must choose."""

    id: str
    dataset: str
    is_open: bool
    told: str


def which_request(client: Client, said: str) -> str:
    """The identifier of the request that is meant; a dataset stands for its one undecided request.

    What nothing fits is given back as it is, for the service to refuse. Raises InvalidCall where
    several fit.
    """
    if _is_whole(said):
        return said
    listed = (
        _Record(one.id, one.dataset, one.state in _UNDECIDED, f"for {one.project}, {one.state}")
        for one in client.requests()
    )
    return _one_of(listed, said, "marketplace requests")


def which_agreement(client: Client, said: str) -> str:
    """The same for agreements; a dataset stands for the one agreement over it that is in force."""
    if _is_whole(said):
        return said
    listed = [
        _Record(one.id, one.dataset, one.state in _IN_FORCE, f"for {one.project}, {one.state}")
        for one in client.agreements()
    ]
    over = [one for one in listed if one.dataset == said]
    if over and not any(one.is_open for one in over):
        raise InvalidCall(
            f"Nothing that you can see is open for {said}: its agreements have ended.",
            next_step=f"For a new one the project asks again: marketplace request {said}.",
            lines=[f"{one.id}: {one.told}" for one in over],
        )
    return _one_of(listed, said, "marketplace agreements")


def which_offer(client: Client, said: str) -> str:
    """The same for standing offers; a dataset stands for the one offer of it that is open."""
    if _is_whole(said):
        return said
    listed = (
        _Record(one.id, one.dataset, one.in_force, f"to {one.audience}")
        for one in client.stewardship.offers()
    )
    return _one_of(listed, said, "marketplace offers")


def which_stop(client: Client, said: str) -> str:
    """The same for stops; a dataset stands for the one stop of it that is in force."""
    if _is_whole(said):
        return said
    listed = (
        _Record(one.id, one.dataset, one.ended_at is None, f"because: {one.reason}")
        for one in client.stewardship.stops()
    )
    return _one_of(listed, said, "marketplace stops")


def which_proposal(client: Client, said: str) -> str:
    """The identifier of the proposal that is meant, by how it begins. Raises InvalidCall."""
    if _is_whole(said):
        return said
    fitting = [one for one in client.rollout.history() if said and one.id.startswith(said)]
    if len(fitting) > 1:
        raise InvalidCall(
            f"{said!r} fits {len(fitting)} proposals; say which by more of its identifier.",
            next_step="See them all with: marketplace rollout history.",
            lines=[f"{one.id}: {one.what}, {one.state}" for one in fitting],
        )
    return fitting[0].id if fitting else said


def _is_whole(said: str) -> bool:
    return len(said) == _WHOLE and "." not in said


def _one_of(listed: Iterable[_Record], said: str, listing: str) -> str:
    fitting = [
        one
        for one in listed
        if (said and one.id.startswith(said)) or (one.dataset == said and one.is_open)
    ]
    if len(fitting) > 1:
        raise InvalidCall(
            f"{said!r} fits {len(fitting)}; say which by the beginning of its identifier.",
            next_step=f"See them all with: {listing}.",
            lines=[f"{one.id}: {one.dataset} {one.told}" for one in fitting],
        )
    if not fitting and "." in said:
        raise InvalidCall(
            f"Nothing that you can see is open for {said}.", next_step=f"See all with: {listing}."
        )
    return fitting[0].id if fitting else said
