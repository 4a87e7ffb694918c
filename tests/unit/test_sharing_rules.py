"""The rules on a request that a machine can check; the states of a request; scopes and widths."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from access_policies.scope import (
    AllRows,
    AtLeast,
    AtMost,
    ColumnType,
    Constant,
    FirstCharacters,
    KeyedHash,
    Mask,
    MaskedColumn,
    MonthOnly,
    NoValue,
    PostcodeDistrict,
    RowsBetweenDays,
    RowScope,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    RowsWithValues,
    TableScope,
    YearOnly,
)
from access_policies.vocabulary import Action, Audience
from catalogue.address import DatasetAddress
from catalogue.errors import UnknownPlace
from catalogue.places import Places
from catalogue.table_schema import Column, Sensitivity, TableSchema
from marketplace.errors import InvalidSharing
from marketplace.identity.projects import Project
from marketplace.sharing import legal, narrowing, scopes
from marketplace.sharing.draft import RequestDraft
from marketplace.sharing.gateways import gateways
from marketplace.sharing.requests import MOVED_BY, NEXT_STATES, RequestState
from marketplace.sharing.vocabulary import (
    Article6,
    Article9,
    Controller,
    DataType,
    Power,
    PublicBenefit,
    Schedule1,
)

TODAY = date(2026, 11, 22)
SQUAD = Project(
    name="squad",
    title="Family hubs",
    purpose="Family hubs",
    organisation="sheffield",
    audience=Audience.LOCAL_GOVERNMENT,
)
RESEARCH = msgspec.structs.replace(SQUAD, name="study", audience=Audience.RESEARCHER)
HOUSING = TableSchema(
    columns=(
        Column(name="area", type="VARCHAR", place=True),
        Column(name="households", type="BIGINT"),
        Column(name="rate", type="DOUBLE"),
    )
)
PEOPLE = TableSchema(
    columns=(
        Column(name="postcode", type="VARCHAR", sensitivity=Sensitivity.PERSONAL),
        Column(name="illness", type="VARCHAR", sensitivity=Sensitivity.SPECIAL_CATEGORY),
    )
)
CONTRACTS = {"housing": HOUSING, "people": PEOPLE}


def draft(**given: Any) -> RequestDraft:
    values: dict[str, Any] = {
        "dataset": DatasetAddress("mhclg", "housing"),
        "last_day": date(2027, 3, 31),
        "data_type": DataType.NONE,
        "aims": "Find families early.",
        "power": Power.LEGISLATION,
        "gateway": "DEA2017_S35",
    }
    return RequestDraft(**(values | given))


PERSONAL: dict[str, Any] = {
    "data_type": DataType.PERSONAL,
    "article_6": Article6.PUBLIC_TASK,
    "controller": Controller.CONTROLLER,
}
SPECIAL = PERSONAL | {
    "data_type": DataType.SPECIAL_CATEGORY,
    "article_9": Article9.HEALTH_OR_SOCIAL_CARE,
}


def findings(
    request: RequestDraft,
    project: Project = SQUAD,
    contracts: dict[str, TableSchema] | None = None,
) -> tuple[legal.Finding, ...]:
    case = legal.Case(
        draft=request,
        project=project,
        contracts={"housing": HOUSING} if contracts is None else contracts,
        today=TODAY,
    )
    return legal.check(case)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"power": Power.COMMON_LAW},
        {"power": Power.NONE, "gateway": ""},
        PERSONAL,
        PERSONAL | {"power_named": "Housing Act 1996, section 213", "gateway": ""},
        SPECIAL,
        SPECIAL
        | {
            "article_9": Article9.SUBSTANTIAL_PUBLIC_INTEREST,
            "schedule_1": Schedule1.SAFEGUARDING_INDIVIDUALS,
        },
        {"leaves_uk": True, "countries": ("Ireland",)},
        {"benefits": (PublicBenefit.SOMETHING_ELSE,), "benefit_explained": "Fewer fires."},
    ],
)
def test_a_complete_request_has_no_finding(given: dict[str, Any]):
    assert findings(draft(**given)) == ()


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"aims": "  "}, "what the project aims at"),
        ({"benefits": (PublicBenefit.SOMETHING_ELSE,)}, "something else"),
        (
            {"actions": (Action.QUERY, Action.ADMINISTER)},
            "dataset:download, dataset:preview, dataset:query",
        ),
        ({"actions": ()}, "dataset:download, dataset:preview, dataset:query"),
        ({"last_day": date(2026, 11, 21)}, "has passed"),
        ({"last_day": date(2999, 1, 1)}, "in this century"),
        ({"power": Power.DONT_KNOW}, "don't know"),
        ({"gateway": "DEA2017_S99"}, "no gateway that the marketplace knows"),
        ({"gateway": ""}, "name the gateway"),
        (PERSONAL | {"article_6": None}, "lawful basis"),
        (PERSONAL | {"power": Power.OTHER}, "needs a named power"),
        (PERSONAL | {"power": Power.COMMON_LAW, "gateway": ""}, "needs a named power"),
        (PERSONAL | {"controller": None}, "controller, joint controller or processor"),
        (PERSONAL | {"controller": Controller.DONT_KNOW}, "don't know"),
        (SPECIAL | {"article_9": None}, "Article 9(2)."),
        (SPECIAL | {"article_9": Article9.SUBSTANTIAL_PUBLIC_INTEREST}, "Schedule 1"),
        ({"leaves_uk": True}, "name the countries"),
        ({"leaves_uk": True, "countries": (" ",)}, "name the countries"),
        ({"countries": ("France",)}, "said to stay in the UK"),
    ],
)
def test_each_rule_refuses_with_its_sentence(given: dict[str, Any], part: str):
    (finding,) = findings(draft(**given))
    assert finding.refuses
    assert part in finding.sentence


def test_several_faults_are_told_at_once():
    found = findings(draft(aims="", leaves_uk=True, power=Power.DONT_KNOW))
    assert len(found) == 3


def test_a_public_authority_on_legitimate_interests_is_flagged_and_not_refused():
    request = draft(**(PERSONAL | {"article_6": Article6.LEGITIMATE_INTERESTS}))
    (finding,) = findings(request)
    assert not finding.refuses
    business = msgspec.structs.replace(SQUAD, audience=Audience.BUSINESS)
    assert findings(request, business) == ()


@pytest.mark.parametrize(
    ("until", "part"),
    [
        (None, "is not accredited"),
        (date(2027, 3, 30), "ends on 30 March 2027"),
        (date(2027, 3, 31), None),
    ],
)
def test_a_research_project_is_accredited_to_the_last_day(until: date | None, part: str | None):
    found = findings(draft(), msgspec.structs.replace(RESEARCH, accredited_until=until))
    assert [part in finding.sentence for finding in found] == ([True] if part else [])


@pytest.mark.parametrize(
    ("data_type", "refused"),
    [
        (DataType.NONE, ["postcode", "illness"]),
        (DataType.PERSONAL, ["illness"]),
        (DataType.SPECIAL_CATEGORY, []),
    ],
)
def test_columns_are_not_asked_for_as_less_than_their_publisher_says(
    data_type: DataType, refused: list[str]
):
    request = draft(**(SPECIAL | {"data_type": data_type}))
    sentences = [finding.sentence for finding in findings(request, contracts={"people": PEOPLE})]
    assert len(sentences) == len(refused)
    assert all(name in sentence for name, sentence in zip(refused, sentences, strict=True))


def test_every_gateway_is_named_and_says_how_it_was_read():
    known = gateways()
    assert "DEA2017_S35" in known
    assert all(gateway.statute and gateway.about for gateway in known.values())
    assert {gateway.read_in for gateway in known.values()} == {"code of practice", "from memory"}


def test_the_states_of_a_request_are_total():
    assert set(NEXT_STATES) == set(RequestState) == set(MOVED_BY)
    reached = {RequestState.DRAFT}.union(*NEXT_STATES.values())
    assert reached == set(RequestState)
    final = {state for state, following in NEXT_STATES.items() if not following}
    assert final == {RequestState.ACCEPTED, RequestState.REJECTED, RequestState.CANCELLED}


def test_nothing_is_accepted_that_was_not_in_review():
    before = {state for state, after in NEXT_STATES.items() if RequestState.ACCEPTED in after}
    assert before == {RequestState.IN_REVIEW}


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load()


def table(
    *columns: str, rows: RowScope | None = None, name: str = "housing"
) -> tuple[TableScope, ...]:
    return (TableScope(table=name, columns=columns, rows=AllRows() if rows is None else rows),)


def test_a_star_becomes_the_columns_of_today_in_the_contracts_order(places: Places):
    (resolved,) = scopes.resolve(table("*"), CONTRACTS, places, project="squad")
    assert resolved.columns == ("area", "households", "rate")
    (some,) = scopes.resolve(table("rate", "area"), CONTRACTS, places, project="squad")
    assert some.columns == ("area", "rate")


def test_places_become_codes_whatever_they_were_called(places: Places):
    written = table("*", rows=RowsInPlaces(places=("Sheffield", "E08000019", "E08000039", "Leeds")))
    (resolved,) = scopes.resolve(written, CONTRACTS, places, project="squad")
    assert isinstance(resolved.rows, RowsInPlaces)
    assert len(resolved.rows.places) == 2
    assert places.codes(resolved.rows.places[0]) >= {"E08000019", "E08000039"}


def test_an_unknown_place_is_refused(places: Places):
    with pytest.raises(UnknownPlace):
        scopes.resolve(
            table("*", rows=RowsInPlaces(places=("Atlantis",))), CONTRACTS, places, project="squad"
        )


IN_SHEFFIELD = RowsInPlaces(places=("E08000039",))
IN_SOUTH_YORKSHIRE = RowsInPlaces(places=("E47000002",))
LARGE = RowsWithValues(column="households", values=("1", "2"))
FIVE_TO_NINE = RowsInRange("households", Decimal(5), Decimal(9))


def masked(column: str, mask: Mask, *shown: str) -> tuple[TableScope, ...]:
    """A scope of all rows that masks a column; of that column alone unless others are named."""
    return (TableScope("housing", shown or (column,), AllRows(), (MaskedColumn(column, mask),)),)


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ((), "No table"),
        (table("*", name="nothing"), "There is no table"),
        (table("*") + table("area"), "named twice"),
        (table(), "No column"),
        (table("area", "nothing"), 'no column "nothing"'),
        (table("*", name="people", rows=RowsInPlaces(places=("Leeds",))), "no column with area"),
        (table("*", rows=RowsInPlaces(places=())), "no place is named"),
        (table("*", rows=RowsWithValues(column="x", values=("1",))), 'no column "x"'),
        (table("*", rows=RowsWithValues(column="area", values=())), "no value is named"),
        (table("*", rows=RowsWithValues("households", ("07",))), 'write "7"'),
        (table("*", rows=RowsWithValues("households", ("many",))), "is not how a BIGINT"),
        (table("*", rows=RowsInRange("area", Decimal(1))), "a range is of numbers"),
        (table("*", rows=RowsInRange("households")), "has no bound"),
        (table("*", rows=RowsInRange("households", Decimal("NaN"))), "is not a number"),
        (table("*", rows=RowsInRange("households", Decimal("1e9"))), "is not a number"),
        (table("*", rows=RowsInRange("households", Decimal(2), Decimal(1))), "ends before"),
        (table("*", rows=RowsBetweenDays("area", TODAY)), "days are those of a date"),
        (table("*", rows=RowsMeetingAll((LARGE,))), "fewer than two"),
        (masked("area", YearOnly()), "is taken of a date"),
        (masked("area", AtMost(Decimal(1))), "A bound is a number"),
        (masked("households", AtMost(Decimal("1.5"))), "A bound is a number"),
        (masked("households", Constant("many")), "A constant is a value of its column"),
        (masked("area", FirstCharacters(0)), "from 1 to"),
        (masked("area", KeyedHash("not a name")), "a named kind of identifier"),
        (masked("area", NoValue(), "rate"), "not among those shown"),
    ],
)
def test_a_scope_that_does_not_fit_is_refused_with_a_line(
    places: Places, written: tuple[TableScope, ...], part: str
):
    with pytest.raises(InvalidSharing) as refused:
        scopes.resolve(written, CONTRACTS, places, project="squad")
    (line,) = refused.value.lines
    assert part in line


@pytest.mark.parametrize(
    ("given", "asked", "wider"),
    [
        (AllRows(), AllRows(), False),
        (IN_SHEFFIELD, AllRows(), False),
        (LARGE, AllRows(), False),
        (AllRows(), IN_SHEFFIELD, True),
        (IN_SHEFFIELD, IN_SHEFFIELD, False),
        (RowsInPlaces(places=("E08000019",)), IN_SHEFFIELD, False),
        (IN_SHEFFIELD, IN_SOUTH_YORKSHIRE, False),
        (IN_SOUTH_YORKSHIRE, IN_SHEFFIELD, True),
        (RowsInPlaces(places=("E08000035",)), IN_SHEFFIELD, True),
        (RowsWithValues(column="households", values=("1",)), LARGE, False),
        (RowsWithValues(column="households", values=("1", "3")), LARGE, True),
        (RowsWithValues(column="rate", values=("1",)), LARGE, True),
        (LARGE, IN_SHEFFIELD, True),
        (IN_SHEFFIELD, LARGE, True),
        (LARGE, FIVE_TO_NINE, True),
        (RowsInRange("households", Decimal(6), Decimal(9)), FIVE_TO_NINE, False),
        (RowsInRange("households", Decimal(5), Decimal("9.5")), FIVE_TO_NINE, True),
        (RowsInRange("households", Decimal(6)), FIVE_TO_NINE, True),
        (RowsInRange("rate", Decimal(6), Decimal(9)), FIVE_TO_NINE, True),
        (FIVE_TO_NINE, RowsInRange("households", Decimal("4.9")), False),
        (RowsBetweenDays("day", TODAY, TODAY), RowsBetweenDays("day", None, TODAY), False),
        (RowsBetweenDays("day", None, TODAY), RowsBetweenDays("day", TODAY, TODAY), True),
        (RowsMeetingAll((IN_SHEFFIELD, FIVE_TO_NINE)), IN_SHEFFIELD, False),
        (RowsMeetingAll((FIVE_TO_NINE, IN_SHEFFIELD)), RowsMeetingAll((IN_SHEFFIELD, LARGE)), True),
        (IN_SHEFFIELD, RowsMeetingAll((IN_SHEFFIELD, FIVE_TO_NINE)), True),
    ],
)
def test_rows_may_become_fewer_and_never_more(
    places: Places, given: RowScope, asked: RowScope, wider: bool
):
    found = narrowing.beyond(table("area", rows=given), table("area", rows=asked), places)
    assert bool(found) is wider


def test_columns_and_tables_may_become_fewer_and_never_more(places: Places):
    asked = table("area", "rate")
    assert narrowing.beyond(table("rate"), asked, places) == ()
    assert len(narrowing.beyond(table("rate", "households"), asked, places)) == 1
    assert (
        len(narrowing.beyond(table("rate") + table("illness", name="people"), asked, places)) == 1
    )


@pytest.mark.parametrize(
    ("given", "asked", "wider"),
    [
        (YearOnly(), None, False),
        (None, YearOnly(), True),
        (YearOnly(), MonthOnly(), False),
        (MonthOnly(), YearOnly(), True),
        (NoValue(), KeyedHash("nino", "squad"), False),
        (Constant("x"), NoValue(), True),
        (KeyedHash("nino", "squad"), KeyedHash("nino", "other"), True),
        (AtMost(Decimal(5)), AtMost(Decimal(9)), False),
        (AtMost(Decimal(9)), AtMost(Decimal(5)), True),
        (AtLeast(Decimal(9)), AtLeast(Decimal(5)), False),
        (AtMost(Decimal(5)), AtLeast(Decimal(5)), True),
        (FirstCharacters(1), FirstCharacters(2), False),
        (FirstCharacters(1), PostcodeDistrict(), True),
    ],
)
def test_a_mask_may_become_stronger_and_never_weaker(
    places: Places, given: Mask | None, asked: Mask | None, wider: bool
):
    found = narrowing.beyond(shown_by(given), shown_by(asked), places)
    assert bool(found) is wider


def shown_by(mask: Mask | None) -> tuple[TableScope, ...]:
    return table("area") if mask is None else masked("area", mask)


def test_a_hash_is_by_the_key_of_the_project_that_asks_whatever_its_form_says(places: Places):
    written = shown_by(KeyedHash("uprn", "the_others"))
    (resolved,) = scopes.resolve(written, CONTRACTS, places, project="squad")
    assert resolved.mask("area") == KeyedHash("uprn", "squad")
    assert resolved.types == (ColumnType("area", "VARCHAR"),)
    with pytest.raises(InvalidSharing, match="does not fit"):
        scopes.resolve(written, CONTRACTS, places, project=None)


def test_the_contract_says_what_kind_of_identifier_a_column_holds(places: Places):
    marked = TableSchema(columns=(Column(name="area", type="VARCHAR", identifier="uprn"),))
    (resolved,) = scopes.resolve(
        shown_by(KeyedHash()), {"housing": marked}, places, project="squad"
    )
    assert resolved.mask("area") == KeyedHash("uprn", "squad")
    for mask, contract in ((KeyedHash("nino"), marked), (KeyedHash(), CONTRACTS["housing"])):
        with pytest.raises(InvalidSharing):
            scopes.resolve(shown_by(mask), {"housing": contract}, places, project="squad")


def test_a_column_that_changed_its_type_since_suspends_what_rests_on_it(places: Places):
    written = (TableScope("housing", ("area",), FIVE_TO_NINE),)
    agreed = scopes.resolve(written, CONTRACTS, places, project="squad")
    columns = tuple(
        msgspec.structs.replace(column, type="DOUBLE") if column.name == "households" else column
        for column in CONTRACTS["housing"].columns
    )
    (told,) = scopes.gone_from(agreed, {"housing": TableSchema(columns=columns)})
    assert told == 'The column "households" is DOUBLE where BIGINT was agreed.'
    assert scopes.gone_from(agreed, CONTRACTS) == ()


def test_a_star_in_an_approval_is_what_was_asked_and_not_what_was_added_since(places: Places):
    asked = table("area", "rate")
    written = scopes.written_within(table("*"), asked)
    assert written == asked


def test_what_a_release_no_longer_has_is_told():
    scope = (
        TableScope(
            table="housing",
            columns=("area", "gone"),
            rows=RowsWithValues(column="tenure", values=("x",)),
        ),
        TableScope(table="lost", columns=("a",), rows=AllRows()),
        TableScope(table="people", columns=("illness",), rows=RowsInPlaces(places=("E08000035",))),
    )
    assert scopes.gone_from(scope, CONTRACTS) == (
        'The column "gone" of housing is gone.',
        'The column "tenure" of housing is gone.',
        'The table "lost" is gone.',
        "people no longer marks a column with area codes.",
    )
    assert scopes.gone_from(table("area", rows=IN_SHEFFIELD), CONTRACTS) == ()
