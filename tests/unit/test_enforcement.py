import pytest

from access_policies.decision import Decision, LimitOutput, OutputTier, RestrictTo
from access_policies.scope import AllRows, RowScope, RowsInPlaces, RowsWithValues, TableScope
from catalogue.dataset import ReleaseTable
from catalogue.table_schema import Column, TableSchema
from marketplace.enforcement import scope_of
from marketplace.errors import AccessDenied


def released(*names: str, place: bool = True) -> ReleaseTable:
    columns = tuple(
        Column(name=name, type="VARCHAR", place=place and name == "area_code") for name in names
    )
    return ReleaseTable(
        name="homes", contract_version=1, schema=TableSchema(columns=columns), files=()
    )


def agreed(*columns: str, rows: RowScope | None = None, table: str = "homes") -> Decision:
    scope = TableScope(table=table, columns=columns, rows=rows or AllRows())
    return Decision(
        allowed=True,
        reason="",
        obligations=(RestrictTo(tables=(scope,)), LimitOutput(tier=OutputTier.ROWS)),
    )


def test_without_obligations_the_whole_table_is_let_out() -> None:
    scope = scope_of(Decision(allowed=True, reason=""), released("area_code", "households"))
    assert scope.columns == ("area_code", "households")
    assert scope.rows == AllRows()


def test_only_the_agreed_columns_are_let_out() -> None:
    scope = scope_of(agreed("households"), released("area_code", "households", "nino"))
    assert scope.columns == ("households",)


@pytest.mark.parametrize(
    "decision",
    [
        agreed("households", "children"),
        agreed("households", rows=RowsWithValues(column="council", values=("Leeds",))),
        agreed("households", table="rough_sleeping"),
        Decision(allowed=True, reason="", obligations=(LimitOutput(tier=OutputTier.AGGREGATE),)),
        Decision(allowed=True, reason="", obligations=(LimitOutput(tier=OutputTier.REVIEWED),)),
    ],
)
def test_what_cannot_be_served_as_agreed_is_not_served(decision: Decision) -> None:
    with pytest.raises(AccessDenied):
        scope_of(decision, released("area_code", "households"))


def test_rows_by_place_need_a_place_column_in_the_newest_release() -> None:
    decision = agreed("households", rows=RowsInPlaces(places=("E08000039",)))
    assert scope_of(decision, released("area_code", "households")).columns == ("households",)
    with pytest.raises(AccessDenied, match="suspended"):
        scope_of(decision, released("area_code", "households", place=False))
