"""The plan of an extract: equal plans share one, and no file is skipped that could hold a row."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access_policies.scope import (
    AllRows,
    KeyedHash,
    MaskedColumn,
    RowCondition,
    RowsBetweenDays,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    RowsWithValues,
    TableScope,
    YearOnly,
)
from catalogue.dataset import ColumnStatistics, DataFile, ReleaseTable
from catalogue.places import Places
from catalogue.table_schema import Column, TableSchema
from marketplace.errors import AccessDenied
from marketplace.extracts.masking_keys import MaskingKeys
from marketplace.extracts.plan import ExtractPlan, plan_for

PLACES = Places.load()
KEYS, OTHER_KEYS = MaskingKeys({1: b"a" * 32}), MaskingKeys({1: b"b" * 32})
SCHEMA = TableSchema(
    columns=(
        Column(name="code", type="VARCHAR", place=True),
        Column(name="people", type="BIGINT"),
        Column(name="rent", type="DECIMAL(9,2)"),
        Column(name="born", type="DATE"),
        Column(name="moved", type="TIMESTAMP"),
    )
)
SHEFFIELD = RowsInPlaces(("E08000039",))


def released(*files: DataFile) -> ReleaseTable:
    """A table of these files."""
    found = files or (DataFile(key="k", sha256="0" * 64, bytes=1, rows=1),)
    return ReleaseTable(name="homes", contract_version=1, schema=SCHEMA, files=found)


def planned(scope: TableScope, *, keys: MaskingKeys = KEYS) -> ExtractPlan:
    """The plan of a scope that is not the table as it is."""
    plan = plan_for(released(), scope, PLACES, keys)
    assert plan is not None
    return plan


def of(*conditions: RowCondition, masks: tuple[MaskedColumn, ...] = ()) -> TableScope:
    """All columns of the rows that meet the conditions."""
    rows = conditions[0] if len(conditions) == 1 else RowsMeetingAll(conditions)
    return TableScope("homes", SCHEMA.names, rows if conditions else AllRows(), masks)


def hashed(project: str, identifier: str = "nino") -> TableScope:
    """All rows with the people hashed by a project's key."""
    return of(masks=(MaskedColumn("people", KeyedHash(identifier, project)),))


def test_the_table_as_it_is_needs_no_extract():
    assert plan_for(released(), of(), PLACES, KEYS) is None
    masked = of(masks=(MaskedColumn("born", YearOnly()),))
    assert plan_for(released(), masked, PLACES, KEYS) is not None


def test_equal_plans_have_one_key_however_they_are_written():
    few = RowsInRange("rent", Decimal(1), Decimal(2))
    one = planned(of(SHEFFIELD, few))
    same = planned(of(few, RowsInPlaces(("E08000019",)), few))
    assert one.key == same.key != planned(of(SHEFFIELD)).key


def test_a_combined_authority_is_planned_as_its_councils_through_their_recodes():
    (condition,) = planned(of(RowsInPlaces(("E47000002",)))).conditions
    assert isinstance(condition, RowsWithValues)
    barnsley_and_sheffield = {"E08000016", "E08000038", "E08000019", "E08000039"}
    doncaster_and_rotherham = {"E08000017", "E08000018"}
    assert set(condition.values) == {
        "E47000002",
        *barnsley_and_sheffield,
        *doncaster_and_rotherham,
    }


def test_a_council_that_was_made_of_others_is_planned_without_them():
    (condition,) = planned(of(RowsInPlaces(("E06000065",)))).conditions
    assert isinstance(condition, RowsWithValues)
    assert condition.values == ("E06000065",)


def test_hashes_of_two_projects_kinds_or_master_keys_never_share_an_extract():
    keys = [
        planned(hashed("one")).key,
        planned(hashed("two")).key,
        planned(hashed("one", "uprn")).key,
        planned(hashed("one"), keys=OTHER_KEYS).key,
    ]
    assert len(set(keys)) == len(keys)
    unhashed = of(SHEFFIELD)
    assert planned(unhashed).key == planned(unhashed, keys=OTHER_KEYS).key


@pytest.mark.parametrize("mask", [KeyedHash("nino"), KeyedHash("", "squad")])
def test_a_hash_that_does_not_say_by_whose_key_it_is_made_is_refused(mask: KeyedHash):
    with pytest.raises(AccessDenied):
        planned(of(masks=(MaskedColumn("people", mask),)))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "code": st.sampled_from(["E08000019", "E08000039", "E08000035", "", "Z"]),
    "people": st.integers(-1, 4),
    "rent": st.decimals(-1, 2, places=2),
    "born": st.dates(date(2023, 12, 30), date(2024, 1, 3)),
    "moved": st.datetimes(*map(datetime.fromisoformat, ("2023-12-31", "2024-01-02"))),
}
days = st.none() | st.dates(date(2023, 12, 30), date(2024, 1, 3)) | st.just(date.max)
bounds = st.none() | st.decimals(-1, 4, places=1)
conditions = st.one_of(
    st.just(SHEFFIELD),
    st.builds(RowsInRange, st.sampled_from(["people", "rent"]), bounds, bounds),
    st.builds(RowsBetweenDays, st.sampled_from(["born", "moved"]), days, days),
)


def stored(number: int, rows: list[dict[str, Any]]) -> DataFile:
    """A file of these rows with the bounds that a manifest has of it."""
    columns = []
    for name in VALUES:
        held = [row[name] for row in rows if row[name] is not None]
        columns.append(
            ColumnStatistics(
                name=name,
                minimum=str(min(held)) if held else None,
                maximum=str(max(held)) if held else None,
                nulls=len(rows) - len(held),
            )
        )
    return DataFile(
        key=str(number), sha256=f"{number:064x}", bytes=1, rows=len(rows), columns=tuple(columns)
    )


def met(row: dict[str, Any], condition: RowCondition) -> bool:
    """Whether a row meets a condition, worked out in plain Python."""
    if isinstance(condition, RowsInPlaces):
        return row["code"] in PLACES.codes(condition.places[0])
    assert isinstance(condition, RowsInRange | RowsBetweenDays)
    value = row[condition.column]
    if value is None:
        return False
    if isinstance(condition, RowsInRange):
        low, high = condition.least, condition.most
        return (low is None or value >= low) and (high is None or value <= high)
    day = value.date() if isinstance(value, datetime) else value
    return bool((condition.first or date.min) <= day <= (condition.last or date.max))


rows = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
files = st.lists(st.lists(rows, min_size=1, max_size=2), min_size=2, max_size=4)


@given(files, st.lists(conditions, min_size=1, max_size=3))
@settings(max_examples=400)
def test_no_file_is_skipped_that_holds_a_row(
    parts: list[list[dict[str, Any]]], where: list[RowCondition]
):
    table = released(*(stored(number, part) for number, part in enumerate(parts)))
    plan = plan_for(table, of(*where), PLACES, KEYS)
    assert plan is not None
    needed = {
        number
        for number, part in enumerate(parts)
        if any(all(met(row, one) for one in where) for row in part)
    }
    opened = {int(file.key) for file in plan.files}
    assert needed <= opened
    assert opened


def test_files_that_surely_hold_no_row_are_skipped():
    def file(number: int, least: int) -> DataFile:
        return stored(number, [dict.fromkeys(VALUES) | {"people": least + n} for n in (0, 9)])

    plan = plan_for(
        released(*(file(number, number * 10) for number in range(5))),
        of(RowsInRange("people", Decimal(12), Decimal(22))),
        PLACES,
        KEYS,
    )
    assert plan is not None
    assert [one.key for one in plan.files] == ["1", "2"]


def test_a_file_whose_times_are_all_after_midnight_of_the_last_day_is_not_skipped():
    noon = datetime.fromisoformat("2024-01-02T12:00:00")
    empty, late = stored(0, [dict.fromkeys(VALUES)]), dict.fromkeys(VALUES) | {"moved": noon}
    scope = of(RowsBetweenDays("moved", None, noon.date()))
    plan = plan_for(released(empty, stored(1, [late])), scope, PLACES, KEYS)
    assert plan is not None
    assert "1" in [one.key for one in plan.files]
