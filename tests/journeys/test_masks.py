"""What an agreement masks is masked in every file that its project can read, and linked within it."""

import hmac
from datetime import date
from decimal import Decimal
from hashlib import sha256

import pytest

from access_policies.scope import (
    AtMost,
    KeyedHash,
    MaskedColumn,
    PostcodeDistrict,
    RowsBetweenDays,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    TableScope,
    YearOnly,
)
from catalogue.address import DatasetAddress
from marketplace.errors import InvalidSharing, QueryTooLarge
from marketplace.extracts.masking_keys import MaskingKeys
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.vocabulary import DataType, Power

PEOPLE = """\
area_code,nino,postcode,born,placed_on,income
E08000039,QQ 12 34 56 C,S1 2HE,1980-05-17,2024-04-01,90000
E08000019,qq123456c,S10 1AA,1999-12-31,2025-03-31,250000
E08000039,QQ 99 99 99 A,S2 4QA,2001-01-01,2025-04-01,18000
E08000003,QQ 11 11 11 B,M1 1AE,1975-02-02,2024-06-01,40000
"""
MASKS = (
    MaskedColumn("nino", KeyedHash("nino")),
    MaskedColumn("postcode", PostcodeDistrict()),
    MaskedColumn("born", YearOnly()),
    MaskedColumn("income", AtMost(Decimal(100_000))),
)
IN_SHEFFIELD_THAT_YEAR = RowsMeetingAll(
    (
        RowsInPlaces(("Sheffield",)),
        RowsBetweenDays("placed_on", date(2024, 4, 1), date(2025, 3, 31)),
    )
)
SQL = "SELECT * FROM mhclg.people ORDER BY income"


def draft(scope: TableScope, dataset: str = "people") -> RequestDraft:
    return RequestDraft(
        dataset=DatasetAddress("mhclg", dataset),
        tables=(scope,),
        last_day=date(2026, 12, 31),
        data_type=DataType.NONE,
        aims="Fewer families in bed and breakfast",
        power=Power.LEGISLATION,
        power_named="Housing Act 1996, section 208",
    )


@pytest.fixture
def agree(world):
    """Ask as a member and approve as the owner, with limits of a result where there are any."""

    def agree(
        scope: TableScope, *, by: str = "member", dataset: str = "people", **limits: int
    ) -> None:
        sharing = world.marketplace.sharing
        request = sharing.ask(world.principal(by), draft(scope, dataset))
        sharing.approve(world.owner, request.id, Approval(reason="Lawful.", **limits))

    return agree


def test_rows_meet_every_condition_and_values_are_shown_as_agreed(world, agree, tmp_path):
    world.publish(PEOPLE, "mhclg.people")
    agree(TableScope("people", ("*",), IN_SHEFFIELD_THAT_YEAR, MASKS))
    keys = MaskingKeys.open(tmp_path / "data" / "keys")
    key = keys.key("sheffield_squad", "nino").value
    linked = hmac.new(key, b"QQ123456C", sha256).hexdigest()

    assert world.query(SQL) == [
        {
            "area_code": "E08000039",
            "nino": linked,
            "postcode": "S1",
            "born": date(1980, 1, 1),
            "placed_on": date(2024, 4, 1),
            "income": 90_000,
        },
        {
            "area_code": "E08000019",
            "nino": linked,
            "postcode": "S10",
            "born": date(1999, 1, 1),
            "placed_on": date(2025, 3, 31),
            "income": 100_000,
        },
    ]


def test_hashes_link_datasets_inside_a_project_and_nothing_across_projects(world, agree):
    world.publish(PEOPLE, "mhclg.people")
    world.publish("nino,amount\nqq 123456 c,5\n", "mhclg.payments", by="publisher")
    hashed = (MaskedColumn("nino", KeyedHash("nino")),)
    for by in ("member", "outsider"):
        agree(TableScope("people", ("nino",), RowsInRange("income", Decimal(0)), hashed), by=by)
        payments = TableScope(
            "payments", ("nino", "amount"), RowsInRange("amount", Decimal(0)), hashed
        )
        agree(payments, by=by, dataset="payments")
    joined = "SELECT count(*) AS n FROM mhclg.people JOIN mhclg.payments USING (nino)"
    told = {}
    for by in ("member", "outsider"):
        assert world.query(joined, by=by) == [{"n": 2}]
        told[by] = {row["nino"] for row in world.query("SELECT nino FROM mhclg.people", by=by)}

    assert told["member"].isdisjoint(told["outsider"])
    assert len(list(world.marketplace.store.list("extracts/"))) == 4


def test_what_is_agreed_is_told_in_sentences_and_on_each_column(world, agree):
    world.publish(PEOPLE, "mhclg.people")
    columns = ("area_code", "nino", "born")
    agree(TableScope("people", columns, IN_SHEFFIELD_THAT_YEAR, (MASKS[0], MASKS[2])), most_rows=9)

    told = world.marketplace.sharing.why(world.member, DatasetAddress("mhclg", "people"))
    assert told.sentence.endswith(
        "people: rows of Sheffield (E08000039) and where placed_on is from 1 April 2024 to "
        "31 March 2025; columns area_code, nino (linked identifier (nino)) and born (year only). "
        "One result has at most 9 rows."
    )
    (table,) = world.marketplace.discovery.dataset(
        world.member, DatasetAddress("mhclg", "people")
    ).agreed
    assert table.mask("born") == YearOnly()


def test_a_result_has_no_more_than_its_agreement_lets_out(world, agree):
    world.publish(PEOPLE, "mhclg.people")
    agree(TableScope("people", ("*",), IN_SHEFFIELD_THAT_YEAR), most_rows=1)
    assert world.query("SELECT count(*) AS n FROM mhclg.people") == [{"n": 2}]
    with pytest.raises(QueryTooLarge):
        world.query(SQL)
    for most in (0, -1):
        with pytest.raises(InvalidSharing) as refused:
            agree(TableScope("people", ("*",), IN_SHEFFIELD_THAT_YEAR), most_rows=most)
        assert refused.value.lines == ("The most rows or bytes of a result are at least 1.",)


def test_a_new_agreement_with_other_masks_shows_no_more_of_the_old_ones(world, agree):
    world.publish(PEOPLE, "mhclg.people")
    born = "SELECT DISTINCT month(born) AS month FROM mhclg.people"
    scope = TableScope("people", ("born",), IN_SHEFFIELD_THAT_YEAR)
    agree(scope)
    assert len(world.query(born)) == 2
    agree(TableScope("people", ("born",), IN_SHEFFIELD_THAT_YEAR, (MASKS[2],)))
    assert world.query(born) == [{"month": 1}]
