"""The rollout in sentences for people."""

from msgspec.structs import astuple

from access_policies.sentences import AUDIENCES
from access_policies.stages import MARKETPLACE, Reach
from marketplace.rollout.effect import Counts

__all__ = ["AUDIENCES", "of_counts", "of_dataset", "of_party", "of_reach", "of_scope"]

_CHANGES = (
    "become readable",
    "become findable",
    "cease to be readable",
    "cease to be findable",
)
_FOR = (
    "readable to",
    "findable to",
    "unreadable to",
    "unfindable to",
)


def of_scope(scope: str) -> str:
    """What is moved, to begin a sentence with."""
    return "The marketplace" if scope == MARKETPLACE else scope


def of_reach(reach: Reach) -> str:
    """How far something is open, to end a sentence with."""
    audience = AUDIENCES[reach.stage]
    if reach.waves is None:
        return f"open to {audience}" + ("" if not reach.stage else " and all before them")
    return f"open to those of {audience} who are invited, and to all before them"


def of_counts(counts: Counts) -> tuple[str, ...]:
    """What an effect comes to; every pair of a dataset and a party counts as one."""
    told = [
        (counts.readable, "become readable"),
        (counts.askable, "become findable, so that access can be asked for"),
        (counts.no_longer_readable, "cease to be readable"),
        (counts.no_longer_askable, "cease to be findable"),
    ]
    sentences = tuple(
        f"{count:,} {'pair' if count == 1 else 'pairs'} of dataset and party {what}."
        for count, what in told
        if count
    )
    return sentences or ("Nothing that anybody may do changes.",)


def of_party(name: str, counts: Counts) -> str:
    """What a party has of an effect, counted in datasets."""
    return f"{name}: " + ", ".join(
        f"{count:,} {'dataset' if count == 1 else 'datasets'} {what}"
        for count, what in zip(astuple(counts), _CHANGES, strict=True)
        if count
    )


def of_dataset(name: str, counts: Counts) -> str:
    """What a dataset has of an effect, counted in parties."""
    return f"{name} becomes " + ", ".join(
        f"{what} {count:,} {'party' if count == 1 else 'parties'}"
        for count, what in zip(astuple(counts), _FOR, strict=True)
        if count
    )
