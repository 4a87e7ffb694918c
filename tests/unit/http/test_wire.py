"""The wire says what the use cases take, member for member."""

from typing import get_args

import msgspec
import pytest

from access_policies import scope
from catalogue.table_schema import Column
from marketplace import wire
from marketplace.sharing.draft import Approval, RequestDraft

PAIRS: list[tuple[type[msgspec.Struct], type[msgspec.Struct]]] = [
    (wire.ShareRequestForm, RequestDraft),
    (wire.ApprovalForm, Approval),
    *zip(get_args(wire.RowScope), get_args(scope.RowScope), strict=True),
    *zip(get_args(wire.Mask), get_args(scope.Mask), strict=True),
    (wire.MaskedColumn, scope.MaskedColumn),
]


@pytest.mark.parametrize(("told", "meant"), PAIRS)
def test_no_member_is_lost_on_the_way(
    told: type[msgspec.Struct], meant: type[msgspec.Struct]
) -> None:
    assert set(told.__struct_fields__) == set(meant.__struct_fields__)
    assert told.__struct_config__.tag == meant.__struct_config__.tag


def test_a_column_is_told_whole_and_how_far_it_is_shown() -> None:
    members = {*Column.__struct_fields__, "shown"}
    assert set(wire.ColumnDescription.__struct_fields__) == members


@pytest.mark.parametrize(("told", "meant"), PAIRS)
def test_what_is_left_out_means_the_same(
    told: type[msgspec.Struct], meant: type[msgspec.Struct]
) -> None:
    defaults = [
        {
            field.name: None if field.required else msgspec.to_builtins(field.default)
            for field in msgspec.structs.fields(kind)
        }
        for kind in (told, meant)
    ]
    assert defaults[0] == defaults[1]
