"""The rollout in sentences for people."""

from access_policies.sentences import AUDIENCES
from access_policies.stages import MARKETPLACE, Reach
from marketplace.rollout.effect import Counts

__all__ = ["AUDIENCES", "of_counts", "of_dataset", "of_party", "of_reach", "of_scope"]


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
    """What an effect comes to; every dataset with every party that it opens or closes for is a pair."""
    told = [
        (counts.readable, "become", "readable"),
        (counts.askable, "become", "findable, so that access can be asked for"),
        (counts.no_longer_readable, "cease", "to be readable"),
        (counts.no_longer_askable, "cease", "to be findable"),
    ]
    sentences = tuple(
        f"1 pair of dataset and party {verb}s {what}."
        if count == 1
        else f"{count:,} pairs of dataset and party {verb} {what}."
        for count, verb, what in told
        if count
    )
    return sentences or ("Nothing that anybody may do changes.",)


def of_party(name: str, counts: Counts) -> str:
    """What a party has of an effect, counted in datasets."""
    return f"{name} can {_listed('read', 'find', counts)} of the datasets."


def of_dataset(name: str, counts: Counts) -> str:
    """What a dataset has of an effect, counted in parties."""
    return f"{name} can be {_listed('read by', 'found by', counts)} of the parties."


def _listed(read: str, find: str, counts: Counts) -> str:
    told = [
        (counts.readable, read, "more"),
        (counts.askable, find, "more"),
        (counts.no_longer_readable, read, "fewer"),
        (counts.no_longer_askable, find, "fewer"),
    ]
    return " and ".join(f"{verb} {count:,} {how}" for count, verb, how in told if count)
