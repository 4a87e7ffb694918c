"""The plan of an extract: an agreed scope with its places as codes and its hashes with their keys.

Two scopes over the same files with equal plans have one key, and share one extract.
"""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import assert_never

import msgspec

from access_policies.scope import (
    KeyedHash,
    Mask,
    RowCondition,
    RowsBetweenDays,
    RowsInPlaces,
    RowsInRange,
    RowsWithValues,
    TableScope,
    conditions_of,
)
from catalogue import pruning
from catalogue.dataset import DataFile, ReleaseTable
from catalogue.places import Places
from marketplace.engine.extract.extract_messages import Condition, ExtractColumn
from marketplace.errors import AccessDenied
from marketplace.extracts.masking_keys import MaskingKeys

_DAY = timedelta(days=1)


class ExtractPlan(msgspec.Struct, frozen=True, dict=True):
    """What is to be written of which files, and by which master key its hashes are made."""

    table: ReleaseTable
    columns: tuple[ExtractColumn, ...]
    conditions: tuple[Condition, ...]
    hashed_by: str

    @cached_property
    def key(self) -> str:
        """One key for one content, in hexadecimal; no hash key is in it."""
        facts = (
            [file.sha256 for file in self.table.files],
            [(column.name, column.mask) for column in self.columns],
            self.conditions,
            self.hashed_by,
        )
        return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The table's files without those that surely hold no such row; one at least, for its types."""
        needed = tuple(file for file in self.table.files if self._may_hold(file))
        return needed or self.table.files[:1]

    def _may_hold(self, file: DataFile) -> bool:
        return all(
            pruning.may_hold(file, self.table.schema, _bounds(condition))
            for condition in self.conditions
        )


def plan_for(
    table: ReleaseTable, scope: TableScope, places: Places, keys: MaskingKeys
) -> ExtractPlan | None:
    """The plan that a scope comes to; None where it is the table as it is.

    Raises AccessDenied where the scope cannot be held to this table.
    """
    if not conditions_of(scope.rows) and not scope.masks and scope.columns == table.schema.names:
        return None
    masks = [scope.mask(name) for name in scope.columns]
    hashed = any(isinstance(mask, KeyedHash) for mask in masks)
    return ExtractPlan(
        table=table,
        columns=tuple(
            _column(name, mask, keys) for name, mask in zip(scope.columns, masks, strict=True)
        ),
        conditions=tuple(sorted(set(_conditions(table, scope, places)), key=msgspec.json.encode)),
        hashed_by=keys.fingerprint if hashed else "",
    )


def _column(name: str, mask: Mask | None, keys: MaskingKeys) -> ExtractColumn:
    if not isinstance(mask, KeyedHash):
        return ExtractColumn(name, mask)
    if not (mask.project and mask.identifier):
        raise AccessDenied(
            f'The agreement does not say by whose key "{name}" is hashed.',
            next_step="Ask the owner for a new agreement.",
        )
    return ExtractColumn(name, mask, keys.key(mask.project, mask.identifier))


def _conditions(table: ReleaseTable, scope: TableScope, places: Places) -> Iterator[Condition]:
    for condition in conditions_of(scope.rows):
        yield _resolved(condition, table, places)


def _resolved(condition: RowCondition, table: ReleaseTable, places: Places) -> Condition:
    match condition:
        case RowsInPlaces(places=named):
            column = table.schema.place_column
            if column is None:
                raise AccessDenied(
                    f'The agreement is for places, but the table "{table.name}" marks no column '
                    "that holds area codes.",
                    next_step="Ask the publisher to mark it, or the owner for another scope.",
                )
            codes = frozenset[str]().union(*(places.codes(place) for place in named))
            return RowsWithValues(column=column.name, values=tuple(sorted(codes)))
        case RowsWithValues(column=column_name, values=values):
            return RowsWithValues(column=column_name, values=tuple(sorted(set(values))))
        case RowsInRange() | RowsBetweenDays():
            return condition
        case _:
            assert_never(condition)


def _bounds(condition: Condition) -> pruning.Condition:
    """The condition as bounds are compared; where the two differ, wider."""
    match condition:
        case RowsWithValues(column=column, values=values):
            return pruning.Among(column, frozenset(values))
        case RowsInRange(column=column, least=least, most=most):
            bounds = (None if bound is None else f"{bound:f}" for bound in (least, most))
            return pruning.Between(column, *bounds)
        case RowsBetweenDays(column=column, first=first, last=last):
            # A day of a time reaches up to the next midnight; after the last of all days is none.
            after = None if last is None or last == last.max else (last + _DAY).isoformat()
            return pruning.Between(column, first.isoformat() if first else None, after)
        case _:
            assert_never(condition)
