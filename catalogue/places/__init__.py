"""Places and the codes that files know them by, through the changes of those codes.

The same council appears under several area codes (GSS): Sheffield is E08000019 in older files and
E08000039 in newer ones. Such a recode is followed without asking. A merger or a split is another
area, so it is told in `Place.notes` and never followed: that is for the data's owner to decide.
"""

import csv
import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Self

from catalogue.errors import UnknownPlace
from catalogue.places.names import plain_name

_HERE = Path(__file__).parent
_CODE = re.compile(r"[A-Z][0-9]{8}")


class PlaceKind(StrEnum):
    """What a place is."""

    DISTRICT = "district"
    UNITARY = "unitary authority"
    METROPOLITAN = "metropolitan district"
    LONDON_BOROUGH = "London borough"
    CITY_CORPORATION = "city corporation"
    COUNTY = "county"
    COMBINED_AUTHORITY = "combined authority"
    STRATEGIC_AUTHORITY = "strategic authority"
    SCOTTISH = "Scottish council area"
    WELSH = "Welsh principal area"
    NORTHERN_IRISH = "Northern Ireland district"
    REGION = "region"
    NATION = "nation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An area with a council or authority, or a region or nation.

    `code` is the one in use today and `former_codes` are others for the very same place. A place
    that was abolished has the first day it no longer was as `until`. `notes` are sentences about
    mergers and splits, for whoever decides on data about the place.
    """

    code: str
    name: str
    official_name: str
    kind: PlaceKind
    nation: str
    region: str = ""
    since: date | None = None
    until: date | None = None
    former_codes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.code})"


class Places:
    """Every place of the United Kingdom that shared data is likely to name. Immutable."""

    def __init__(
        self,
        places: Iterable[Place],
        *,
        members: Iterable[tuple[str, str]],
        names: Iterable[tuple[str, str]],
    ) -> None:
        self._by_code = {place.code: place for place in places}
        self._canonical = {code: code for code in self._by_code} | {
            former: place.code for place in self._by_code.values() for former in place.former_codes
        }
        self._members = _grouped(members)
        self._names: dict[str, set[str]] = defaultdict(set)
        for name, code in names:
            self._names[name].add(code)
        for place in self._by_code.values():
            self._names[plain_name(place.name)].add(place.code)
            self._names[plain_name(place.official_name)].add(place.code)

    @classmethod
    def load(cls) -> Self:
        """The places that ship with the catalogue."""
        former = _grouped((row["code"], row["former_code"]) for row in _read("former_codes.csv"))
        rows = _read("places.csv")
        notes = _notes({row["code"]: row for row in rows})
        return cls(
            (_place(row, former.get(row["code"], ()), notes[row["code"]]) for row in rows),
            members=((row["area"], row["member"]) for row in _read("members.csv")),
            names=((row["name"], row["code"]) for row in _read("names.csv")),
        )

    def find(self, text: str) -> Place:
        """The place of a name, or of any code it has or had. Raises UnknownPlace.

        Where a name means a place of today and an abolished one, it is the one of today. A name
        that several places have today is refused, with their codes to choose from.
        """
        code = text.strip().upper()
        if code in self._canonical:
            return self._by_code[self._canonical[code]]
        found = [self._by_code[code] for code in self._names.get(plain_name(text), ())]
        of_today = [place for place in found if place.until is None]
        candidates = sorted(of_today or found, key=lambda place: place.code)
        if len(candidates) == 1:
            return candidates[0]
        raise self._unknown(text, candidates)

    def codes(self, code: str) -> frozenset[str]:
        """Every code that rows about the place may carry; `code` may be any of its own.

        The place's codes through all recodes; for a county, combined authority, region or nation
        also those of all councils inside it. Not those of councils that were merged into it, nor
        of councils that it was split into. Raises UnknownPlace.
        """
        if code not in self._canonical:
            raise self._unknown(code, [])
        found: set[str] = set()
        waiting = [self._canonical[code]]
        while waiting:
            place = self._by_code[waiting.pop()]
            found.update((place.code, *place.former_codes))
            waiting += [code for code in self._members.get(place.code, ()) if code not in found]
        return frozenset(found)

    def councils(self) -> tuple[Place, ...]:
        """The authorities of today in order of code: all places but regions and nations."""
        return tuple(
            place
            for _, place in sorted(self._by_code.items())
            if place.until is None and place.kind not in (PlaceKind.REGION, PlaceKind.NATION)
        )

    def _unknown(self, text: str, candidates: list[Place]) -> UnknownPlace:
        if candidates:
            return UnknownPlace(
                f"{text[:80]!r} is the name of {len(candidates)} places.",
                next_step=f"Write the code of one: {'; '.join(map(str, candidates))}.",
            )
        return UnknownPlace(
            f"No place is known by {text[:80]!r}.",
            next_step=self._near(text) or "Write a council's name or its area code.",
        )

    def _near(self, text: str) -> str:
        wanted = plain_name(text[:80])
        holding = sorted(name for name in self._names if f" {wanted} " in f" {name} ")[:3]
        close = difflib.get_close_matches(wanted, self._names, n=3, cutoff=0.8)
        codes = dict.fromkeys(
            code for name in (*close, *holding) for code in sorted(self._names[name])
        )
        near = [str(self._by_code[code]) for code in codes]
        return f"Is it one of these? {'; '.join(near)}." if near else ""


def _notes(rows: dict[str, dict[str, str]]) -> dict[str, tuple[str, ...]]:
    """Sentences about mergers and splits, by the code of each place that took part in one."""
    pairs = [(row["code"], row["successor"]) for row in _read("successors.csv")]
    successors = _grouped(pairs)
    origins = _grouped((successor, code) for code, successor in pairs)

    def named(codes: tuple[str, ...]) -> str:
        return ", ".join(f"{rows[code]['name']} ({code})" for code in codes)

    notes: dict[str, tuple[str, ...]] = {}
    for code, row in rows.items():
        sentences = []
        if code in origins:
            sentences.append(
                f"Made of {named(origins[code])}; rows with those codes are not included."
            )
        if row["until"]:
            after = named(successors.get(code, ())) or "no single council"
            sentences.append(
                f"Abolished on {row['until']}, followed by {after}; rows with a code that came "
                "after are not included."
            )
        notes[code] = tuple(sentences)
    return notes


def _place(row: dict[str, str], former: tuple[str, ...], notes: tuple[str, ...]) -> Place:
    return Place(
        code=row["code"],
        name=row["name"],
        official_name=row["official_name"],
        kind=PlaceKind(row["kind"]),
        nation=row["nation"],
        region=row["region"],
        since=_day(row["since"]),
        until=_day(row["until"]),
        former_codes=former,
        notes=notes,
    )


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: tuple(values) for key, values in groups.items()}


def _read(name: str) -> list[dict[str, str]]:
    with (_HERE / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
