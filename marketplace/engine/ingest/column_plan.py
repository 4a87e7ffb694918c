"""How each column of a relation of texts becomes typed, inferred or as the contract says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from catalogue.table_schema import Column
from marketplace.engine.ingest.column_types import (
    TEXT,
    Conventions,
    expectation,
    infer,
    kind_of,
    markers_in,
    may_be_area_codes,
    reading_for,
)
from marketplace.engine.instance import identifier, literal

Kinds = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """One column and its type. `fixed` by the contract, else inferred from `kinds`.

    `markers` are texts to read as null, with how often they were seen.
    """

    name: str
    title: str
    type: str
    conventions: Conventions
    contract: Column | None = None
    kinds: Kinds
    note: str = ""

    @classmethod
    def begin(
        cls,
        name: str,
        title: str,
        kinds: Kinds,
        conventions: Conventions,
        contract: Column | None,
        *,
        as_text: bool,
    ) -> "ColumnPlan":
        """Plan a column from the kinds of the values seen so far."""
        plan = cls(
            name=name,
            title=title,
            type=contract.type if contract else TEXT,
            conventions=conventions,
            contract=contract,
            kinds=kinds,
        )
        return plan if as_text else plan.seen(kinds)

    def seen(self, kinds: Kinds) -> "ColumnPlan":
        """The plan after other values were seen."""
        if self.contract is not None:
            return replace(self, kinds=kinds)
        inferred = infer(kinds, self.conventions)
        return replace(self, kinds=kinds, type=inferred.type, note=inferred.note)

    def as_text(self) -> "ColumnPlan":
        """The plan for a column whose values do not keep to a type after all."""
        return replace(self, type=TEXT, note="kept as text")

    @property
    def open(self) -> bool:
        """Whether nothing seen so far has told anything of the type."""
        return self.contract is None and len(markers_in(self.kinds)) == len(self.kinds)

    @property
    def markers(self) -> dict[str, int]:
        """What is read as null, with how often it was seen ("" for space alone)."""
        return {} if self.type in (TEXT, "BOOLEAN") else markers_in(self.kinds)

    @property
    def may_be_place(self) -> bool:
        """Whether it may hold area codes."""
        return self.type == TEXT and may_be_area_codes(self.kinds)

    def value(self, unfit: str) -> str:
        """SQL for the typed value; its evaluation fails with `unfit` where a text does not fit."""
        x = identifier(self.name)
        if self.type == TEXT:
            return x
        reading = reading_for(self.type, self.conventions)
        canonical = reading.canonical.replace("{x}", x)
        return (
            f"CASE WHEN {canonical} THEN try_cast({x} AS {self.type}) "
            f"WHEN {x} IS NULL OR {self._missing()} THEN NULL "
            f"ELSE coalesce({self._value()}, error({literal(unfit)})) END AS {x}"
        )

    def misfits(self) -> str:
        """SQL that is true where the text is no value of the type."""
        if self.type == TEXT:
            return "false"
        x = identifier(self.name)
        return f"({x} IS NOT NULL AND NOT {self._missing()} AND {self._value()} IS NULL)"

    def _value(self) -> str:
        reading = reading_for(self.type, self.conventions)
        x = identifier(self.name)
        return (
            f"CASE WHEN regexp_full_match({x}, {literal(reading.form)}) "
            f"THEN {reading.value.replace('{x}', x)} END"
        )

    def _missing(self) -> str:
        known = self.contract.missing_markers if self.contract else ()
        markers = sorted({*self.markers, *known})
        if not markers:
            return "false"
        listed = ", ".join(map(literal, markers))
        return f"trim({identifier(self.name)}) IN ({listed})"

    def expectation(self) -> str:
        """What a value has to be, for a sentence."""
        return expectation(self.type)

    def column(self, *, place: bool) -> Column:
        """The column as the table's schema shows it."""
        if self.contract is not None:
            return self.contract
        return Column(
            name=self.name,
            type=self.type,
            title=self.title if self.title != self.name else "",
            place=place,
            missing_markers=tuple(sorted(filter(None, self.markers))),
        )


def count_kinds(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    names: Sequence[str],
    conventions: Conventions,
) -> Mapping[str, Kinds]:
    """For each column, how many of its values are of which kind. Empty cells are of none."""
    # One column of all values, because to plan the forms anew for each takes longer than to match them.
    listed = ", ".join(map(identifier, names))
    found = connection.execute(
        f"SELECT name, {kind_of('x', conventions)} AS kind, count(*) "
        f"FROM (UNPIVOT {relation} ON {listed} INTO NAME name VALUE x) GROUP BY ALL"
    ).fetchall()
    kinds: dict[str, dict[str, int]] = {name: {} for name in names}
    for name, kind, count in found:
        kinds[name][kind] = count
    return kinds
