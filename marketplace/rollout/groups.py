"""An effect as people look at it: by audience, by party, by dataset, those with the most first."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import nlargest

import msgspec

from access_policies.sentences import AUDIENCES
from marketplace.rollout.effect import Counts, Effect, any_of
from marketplace.rollout.parties import PartyKind
from marketplace.rollout.words import of_counts, of_dataset, of_party

_MOST = 100


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What an audience and all of it, a party, or a dataset has of an effect."""

    kind: str
    name: str
    counts: Counts
    sentence: str


def groups_of(effect: Effect) -> tuple[Group, ...]:
    """Every audience (with its organisations and projects), and of parties and datasets the first hundred."""
    return (
        *_by_audience(effect),
        *_most(
            (party.party.kind, party.party.name, party.counts)
            for party in effect.parties
            if party.party.kind is not PartyKind.AUDIENCE
        ),
        *_most(("dataset", dataset, counts) for dataset, counts in effect.by_dataset().items()),
    )


def _by_audience(effect: Effect) -> Iterator[Group]:
    counted: defaultdict[str, Counts] = defaultdict(Counts)
    for one in effect.parties:
        counted[AUDIENCES[one.party.audience]] += one.counts
    for name, counts in counted.items():
        if any_of(counts):
            told = " ".join(of_counts(counts))
            yield Group(kind="audience", name=name, counts=counts, sentence=f"{name}: {told}")


def _most(found: Iterable[tuple[str, str, Counts]]) -> Iterator[Group]:
    changed = ((kind, name, counts) for kind, name, counts in found if any_of(counts))
    for kind, name, counts in nlargest(_MOST, changed, key=_size):
        told = of_dataset if kind == "dataset" else of_party
        yield Group(kind=kind, name=name, counts=counts, sentence=told(name, counts))


def _size(group: tuple[str, str, Counts]) -> tuple[int, int, str]:
    _, name, counts = group
    read = counts.readable + counts.no_longer_readable
    return read, counts.askable + counts.no_longer_askable, name
