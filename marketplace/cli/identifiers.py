"""Which request, agreement or proposal a person means: its identifier, how that begins, or its dataset."""

from collections.abc import Sequence
from typing import TypeVar

from marketplace.client import Client
from marketplace.client.errors import InvalidCall
from marketplace.wire import AgreementDescription, ShareRequestDescription

Record = TypeVar("Record", ShareRequestDescription, AgreementDescription)

_WHOLE = 32

_UNDECIDED = frozenset({"submitted", "in_review", "returned"})
_IN_FORCE = frozenset({"active", "suspended"})


def which_request(client: Client, said: str) -> str:
    """The identifier of the request that is meant; a dataset stands for its one undecided request.

    What nothing fits is given back as it is, for the service to refuse. Raises InvalidCall where
    several fit.
    """
    if _is_whole(said):
        return said
    return _one_of(client.requests(), said, _UNDECIDED, "marketplace requests")


def which_agreement(client: Client, said: str) -> str:
    """The same for agreements; a dataset stands for the one agreement over it that is in force."""
    if _is_whole(said):
        return said
    return _one_of(client.agreements(), said, _IN_FORCE, "marketplace agreements")


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


def _one_of(listed: Sequence[Record], said: str, open_states: frozenset[str], listing: str) -> str:
    fitting = [
        one
        for one in listed
        if (said and one.id.startswith(said)) or (one.dataset == said and one.state in open_states)
    ]
    if len(fitting) > 1:
        raise InvalidCall(
            f"{said!r} fits {len(fitting)}; say which by the beginning of its identifier.",
            next_step=f"See them all with: {listing}.",
            lines=[f"{one.id}: {one.dataset} for {one.project}, {one.state}" for one in fitting],
        )
    if not fitting and "." in said:
        raise InvalidCall(
            f"Nothing that you can see is open for {said}.", next_step=f"See all with: {listing}."
        )
    return fitting[0].id if fitting else said
