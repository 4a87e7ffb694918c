from datetime import UTC, datetime

import pytest

from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import DataFile, Release, ReleaseTable
from catalogue.errors import ContractBroken, InvalidAddress, UnknownDataset
from catalogue.manifest import next_contract, resolve_table, under_contract, with_table
from catalogue.table_schema import Column, Sensitivity, TableSchema

HOMES = DatasetAddress("mhclg", "homes")
AREA = Column(name="area", type="VARCHAR", place=True)
COUNT = Column(name="n", type="BIGINT", sensitivity=Sensitivity.PERSONAL)
FILE = DataFile(key="releases/a/b.parquet", sha256="b", bytes=1, rows=1)


def _schema(*columns: Column) -> TableSchema:
    return TableSchema(columns=columns)


def _release(*names: str) -> Release:
    tables = tuple(
        ReleaseTable(name=name, contract_version=1, schema=_schema(AREA), files=(FILE,))
        for name in names
    )
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    return Release(dataset=HOMES, number=1, tables=tables, published_at=moment, published_by="ada")


def test_the_first_contract_is_the_first_schema() -> None:
    assert next_contract(None, _schema(AREA)) == (1, _schema(AREA))


def test_the_same_columns_in_another_order_keep_the_contract() -> None:
    contract = (3, _schema(AREA, COUNT))
    assert next_contract(contract, _schema(COUNT, AREA)) == contract


def test_an_added_column_makes_the_next_version_at_the_end() -> None:
    added = Column(name="new", type="DATE")
    offered = _schema(added, COUNT, AREA)
    assert next_contract((1, _schema(AREA, COUNT)), offered) == (2, _schema(AREA, COUNT, added))


def test_a_file_cannot_take_back_what_the_contract_says_of_a_column() -> None:
    offered = _schema(Column(name="area", type="VARCHAR"), Column(name="n", type="BIGINT"))
    table = under_contract((1, _schema(AREA, COUNT)), name="homes", schema=offered, files=[FILE])
    assert table.schema == _schema(AREA, COUNT)


def test_a_column_that_is_gone_or_of_another_type_breaks_the_contract() -> None:
    offered = _schema(Column(name="n", type="VARCHAR"))
    with pytest.raises(ContractBroken) as refused:
        next_contract((1, _schema(AREA, COUNT)), offered)
    assert refused.value.lines == (
        'The column "area" (VARCHAR) is missing.',
        'The column "n" is VARCHAR; the contract says BIGINT.',
    )


def test_a_table_is_replaced_in_its_place_or_added_at_the_end() -> None:
    parent = _release("homes", "rents")
    homes = under_contract(None, name="homes", schema=_schema(COUNT), files=[])
    sales = under_contract(None, name="sales", schema=_schema(COUNT), files=[])
    assert with_table(None, homes) == (homes,)
    assert with_table(parent, homes) == (homes, parent.tables[1])
    assert with_table(parent, sales) == (*parent.tables, sales)


def test_the_short_address_means_the_single_table_whatever_its_name() -> None:
    expected = TableAddress("mhclg", "homes", "quarterly")
    assert resolve_table(_release("quarterly"), ("mhclg", "homes")) == expected
    assert resolve_table(_release("quarterly"), ("mhclg", "homes", "quarterly")) == expected


def test_the_short_address_ends_when_a_second_table_appears_and_says_so() -> None:
    with pytest.raises(InvalidAddress) as refused:
        resolve_table(_release("homes", "rents"), ("mhclg", "homes"))
    assert refused.value.detail == ("mhclg.homes has 2 tables, so the name of the table is needed.")
    assert "mhclg.homes.homes, mhclg.homes.rents" in refused.value.next_step


@pytest.mark.parametrize("name", ["other", "Homes", 'homes"; DROP', ""])
def test_a_table_that_the_dataset_lacks_is_unknown(name: str) -> None:
    with pytest.raises(UnknownDataset, match="has no table"):
        resolve_table(_release("homes"), ("mhclg", "homes", name))


@pytest.mark.parametrize("parts", [(), ("mhclg",), ("mhclg", "rents"), ("a", "b", "c", "d")])
def test_parts_of_another_address_are_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidAddress):
        resolve_table(_release("homes"), parts)
