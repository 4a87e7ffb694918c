"""The wire says what the use cases take, member for member."""

import msgspec
import pytest

from catalogue.table_schema import Column
from marketplace import wire
from marketplace.sharing.draft import Approval, RequestDraft

PAIRS = [
    (wire.ShareRequestForm, RequestDraft),
    (wire.ApprovalForm, Approval),
    (wire.ColumnDescription, Column),
]


@pytest.mark.parametrize(("told", "meant"), PAIRS)
def test_no_member_is_lost_on_the_way(
    told: type[msgspec.Struct], meant: type[msgspec.Struct]
) -> None:
    assert set(told.__struct_fields__) == set(meant.__struct_fields__)


@pytest.mark.parametrize(("told", "meant"), PAIRS[:2])
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
