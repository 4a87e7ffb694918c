"""What a move of the rollout does: which datasets whom it opens or closes, and by which rule.

Callers with the same rules have the same answers. So an answer is found once for everybody of an
audience, and again only on those datasets for which a party has a rule or an invitation of its own;
pairs are counted without being made.
"""

import gc
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from access_policies import principals, rules
from access_policies.decision_point import DecisionPoint
from access_policies.shapes import Line, Shapes, lines_in_force
from access_policies.stages import MARKETPLACE, Opening
from access_policies.vocabulary import Audience
from marketplace.rollout.parties import Party

_FINGERPRINT = 12

Openings = Mapping[str, Opening]


class Pair(NamedTuple):
    """One dataset that opens or closes for one party.

    `readable` says whether as data; else it is only found, so that it can be asked for.
    """

    dataset: str
    party: Party
    opens: bool
    readable: bool
    rule: str
    grant: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many pairs of dataset and party become readable, or askable and no more, or cease to be."""

    readable: int = 0
    askable: int = 0
    no_longer_readable: int = 0
    no_longer_askable: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Counts(
            **{
                name: first + second
                for name, first, second in zip(self.__struct_fields__, mine, theirs, strict=True)
            }
        )


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What an effect came to. The fingerprint is another where any party has another count."""

    counts: Counts
    fingerprint: str


def any_of(counts: Counts) -> bool:
    """Whether there is any pair."""
    return counts != Counts()


def _counts(opens: bool, readable: int, askable: int) -> Counts:
    if opens:
        return Counts(readable=readable, askable=askable)
    return Counts(no_longer_readable=readable, no_longer_askable=askable)


class PartyEffect:
    """What opens, or closes, for one party: what is common to its audience, but for its `own`."""

    def __init__(
        self,
        party: Party,
        *,
        opens: bool,
        common: "Common",
        own: Mapping[str, Line | None],
    ) -> None:
        self.party = party
        self.opens = opens
        self.common = common
        self.own = own

    @cached_property
    def counts(self) -> Counts:
        """How many datasets."""
        readable, askable = self.common.readable, self.common.askable
        for dataset, found in self.own.items():
            for one, sign in ((self.common.found.get(dataset), -1), (found, 1)):
                if one is not None:
                    readable += sign * one.reads
                    askable += sign * (not one.reads)
        return _counts(self.opens, readable, askable)

    def pairs(self) -> Iterator[Pair]:
        """Each of the datasets, in order."""
        found: dict[str, Line | None] = {**self.common.found, **self.own}
        for dataset in sorted(found):
            one = found[dataset]
            if one is not None:
                yield Pair(dataset, self.party, self.opens, one.reads, one.id, one.grant)


class Common:
    """What everybody of an audience may do, with the datasets that are open to all of them."""

    def __init__(self, found: dict[str, Line | None]) -> None:
        self.found = {dataset: one for dataset, one in found.items() if one is not None}
        self.readable = sum(one.reads for one in self.found.values())
        self.askable = len(self.found) - self.readable


class Effect:
    """What a move does to everybody, counted exactly."""

    def __init__(self, parties: tuple[PartyEffect, ...]) -> None:
        self.parties = parties
        self.counts = sum((one.counts for one in parties), start=Counts())

    def by_dataset(self) -> dict[str, Counts]:
        """The counts of every dataset that opens or closes for anybody."""
        sharing = Counter((one.common, one.opens) for one in self.parties)
        told: defaultdict[tuple[str, bool, bool], int] = defaultdict(int)
        for (common, opens), parties in sharing.items():
            for dataset, line in common.found.items():
                told[dataset, opens, line.reads] += parties
        for party in self.parties:
            for dataset, own in party.own.items():
                for one, sign in ((party.common.found.get(dataset), -1), (own, 1)):
                    if one is not None:
                        told[dataset, party.opens, one.reads] += sign
        found: defaultdict[str, Counts] = defaultdict(Counts)
        for (dataset, opens, reads), count in told.items():
            found[dataset] += _counts(opens, reads * count, (not reads) * count)
        return {dataset: counts for dataset, counts in found.items() if any_of(counts)}

    @property
    def foreseen(self) -> Foreseen:
        """What it comes to."""
        told = sorted(
            (one.party.kind, one.party.name, *msgspec.structs.astuple(one.counts))
            for one in self.parties
        )
        digest = hashlib.sha256(msgspec.json.encode(told)).hexdigest()
        return Foreseen(counts=self.counts, fingerprint=digest[:_FINGERPRINT])

    def pairs(self) -> Iterator[Pair]:
        """Every pair, party by party."""
        for party in self.parties:
            yield from party.pairs()


def foresee(
    connection: Connection,
    decision_point: DecisionPoint,
    parties: Iterable[Party],
    before: Openings,
    after: Openings,
    *,
    scope: str,
    datasets: frozenset[str],
    now: datetime,
) -> Effect:
    """What it does that a scope is open as it is after, and not as before, at a moment.

    `datasets` are all that there are. The openings of other scopes are those of `after`. A damaged
    rule closes what it bears on while it is in force.
    """
    one = None if scope == MARKETPLACE else scope
    changed = [
        (party, _admits(after[scope], party))
        for party in parties
        if _admits(before[scope], party) is not _admits(after[scope], party)
        and (one is None or _admits(after[MARKETPLACE], party))
    ]
    names = {name for party, _ in changed for name in party.names} | {principals.EVERYONE}
    with _no_collection():
        by_subject: dict[str, list[Line]] = {}
        for line in lines_in_force(connection, names, now=now, dataset=one) if changed else ():
            by_subject.setdefault(line.subject, []).append(line)
        foresight = _Foresight(
            shapes=Shapes(decision_point, now=now),
            by_subject=by_subject,
            datasets=datasets if one is None else datasets & {one},
            closed_further={}
            if one
            else {name: after[name] for name in after if name != MARKETPLACE},
        )
        return Effect(tuple(foresight.of(party, opens=opens) for party, opens in changed))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no cycles meanwhile: hundreds of thousands of lines that stay are no garbage.

    Looking through them again and again takes a third of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _admits(opening: Opening, party: Party) -> bool:
    return party.audience <= opening.ceiling_for(party.names)


class _Lines:
    """Lines by the dataset that they are written on; `wide` are those on more than one.

    `purposes` are those that they state.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self.on: defaultdict[str, list[Line]] = defaultdict(list)
        for line in lines:
            self.on[line.dataset].append(line)
        self.purposes = {line.purpose for held in self.on.values() for line in held}
        self.wide = {name: self.on.pop(name) for name in list(self.on) if name.endswith("*")}

    def over(self, dataset: str) -> list[Line]:
        """Every line that bears on a dataset."""
        found = self.on.get(dataset, [])
        if self.wide:
            for wide in (rules.organisation_wide(dataset), rules.ANY):
                found = found + self.wide.get(wide, [])
        return found

    @property
    def allow_widely(self) -> bool:
        """Whether a line could open datasets that no line names."""
        return any(
            line.effect == rules.Effect.ALLOW for held in self.wide.values() for line in held
        )


class _Foresight:
    """Finds what parties may do, once for what they have in common."""

    def __init__(
        self,
        *,
        shapes: Shapes,
        by_subject: Mapping[str, list[Line]],
        datasets: frozenset[str],
        closed_further: Openings,
    ) -> None:
        self._shapes = shapes
        self._by_subject = by_subject
        self._datasets = datasets
        self._closed_further = closed_further
        self._lines: dict[Audience, _Lines] = {}
        self._common: dict[tuple[Audience, str], Common] = {}

    def of(self, party: Party, *, opens: bool) -> PartyEffect:
        """What opens, or closes, for a party."""
        return PartyEffect(party, opens=opens, common=self._common_of(party), own=self._own(party))

    def _common_of(self, party: Party) -> Common:
        # Purposes tell people apart only where a rule states theirs.
        lines = self._of_audience(party.audience)
        purpose = party.purpose if party.purpose in lines.purposes else rules.ANY
        key = party.audience, purpose
        if key not in self._common:
            self._common[key] = Common(
                {
                    dataset: self._shapes.find(
                        lines.over(dataset), dataset, party.audience, purpose
                    )
                    for dataset in (self._datasets if lines.allow_widely else lines.on)
                    if dataset in self._datasets and self._open_to_all(dataset, party.audience)
                }
            )
        return self._common[key]

    def _own(self, party: Party) -> dict[str, Line | None]:
        """The datasets for which a party has rules or an invitation of its own."""
        own = _Lines(line for name in party.own_names for line in self._by_subject.get(name, ()))
        shared = self._of_audience(party.audience)
        return {
            dataset: self._shapes.find(
                shared.over(dataset) + own.over(dataset), dataset, party.audience, party.purpose
            )
            for dataset in self._touched(own, party)
            if self._open_to(dataset, party)
        }

    def _touched(self, own: _Lines, party: Party) -> set[str]:
        touched = set(own.on)
        if own.wide:
            candidates = self._datasets if own.allow_widely else self._common_of(party).found
            touched |= {name for name in candidates if _covers(own.wide, name)}
        touched |= {
            dataset
            for dataset, opening in self._closed_further.items()
            if opening.stage is party.audience and opening.invited is not None
        }
        return {name for name in touched if name in self._datasets}

    def _of_audience(self, audience: Audience) -> _Lines:
        if audience not in self._lines:
            names = principals.audiences_of(audience) | {principals.EVERYONE}
            self._lines[audience] = _Lines(
                line for name in names for line in self._by_subject.get(name, ())
            )
        return self._lines[audience]

    def _open_to_all(self, dataset: str, audience: Audience) -> bool:
        opening = self._closed_further.get(dataset)
        return opening is None or audience <= opening.ceiling_for(())

    def _open_to(self, dataset: str, party: Party) -> bool:
        opening = self._closed_further.get(dataset)
        return opening is None or _admits(opening, party)


def _covers(wide: Mapping[str, object], dataset: str) -> bool:
    return rules.ANY in wide or rules.organisation_wide(dataset) in wide
