from datetime import date
from pathlib import Path

import pytest

from catalogue.errors import UnknownPlace
from catalogue.places import PlaceKind, Places, build

SHIPPED = Path(build.__file__).parent


@pytest.fixture(scope="module")
def places() -> Places:
    return Places.load()


@pytest.mark.parametrize(
    ("codes", "name"),
    [
        (("E08000039", "E08000019"), "Sheffield"),
        (("E08000038", "E08000016"), "Barnsley"),
        (("E08000037", "E08000020"), "Gateshead"),
        (("E06000057", "E06000048"), "Northumberland"),
        (("S12000049", "S12000046", "S12000043"), "Glasgow City"),
    ],
)
def test_a_recoded_council_is_one_place_under_each_of_its_codes(
    places: Places, codes: tuple[str, ...], name: str
) -> None:
    for code in codes:
        assert places.find(code).name == name
        assert places.find(code).code == codes[0]
        assert places.codes(code) == set(codes)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Sheffield", "E08000039"),
        ("  sheffield city COUNCIL ", "E08000039"),
        ("e08000019", "E08000039"),
        ("St Helens", "E08000013"),
        ("Liverpool", "E08000012"),
        ("Manchester", "E08000003"),
        ("Essex", "E10000012"),
        ("Wakefield", "E08000036"),
        ("Sandwell", "E08000028"),
        ("Plymouth", "E06000026"),
        ("Nottingham", "E06000018"),
        ("Leeds", "E08000035"),
        ("Darlington", "E06000005"),
        ("South Yorkshire", "E47000002"),
        ("Yorkshire and The Humber", "E12000003"),
        ("West Midlands region", "E12000005"),
        ("West Midlands Combined Authority", "E47000007"),
        ("North Yorkshire", "E06000065"),
        ("North Yorkshire County Council", "E10000023"),
        ("England", "E92000001"),
    ],
)
def test_a_place_is_found_by_the_names_that_people_write(
    places: Places, text: str, code: str
) -> None:
    assert places.find(text).code == code


def test_a_combined_authority_covers_its_four_councils_under_all_their_codes(
    places: Places,
) -> None:
    assert places.codes("E47000002") == {
        "E47000002",
        *("E08000016", "E08000038", "E08000017", "E08000018", "E08000019", "E08000039"),
    }


def test_a_county_covers_its_districts_and_no_others(places: Places) -> None:
    districts = {f"E070000{number}" for number in range(66, 78)}
    assert places.codes("E10000012") == {"E10000012", *districts}
    forest_heath = "E07000201"
    assert forest_heath in places.codes("E10000029")
    assert forest_heath not in places.codes("E10000030"), "one source has it under Surrey"
    for code in ("E10000003", "E10000012", "E10000030"):
        assert all(member[:3] in ("E07", "E10") for member in places.codes(code))


def test_an_area_reaches_through_counties_to_their_districts(places: Places) -> None:
    assert "E07000136" in places.codes("E47000017"), "Boston, in Lincolnshire"
    assert places.codes("E12000003") > places.codes("E08000019")
    assert places.codes("E92000001") > places.codes("E12000003")


def test_the_nine_regions_of_england_share_no_code_and_leave_no_council_out(
    places: Places,
) -> None:
    regions = [places.codes(f"E1200000{number}") for number in range(1, 10)]
    assert sum(map(len, regions)) == len(frozenset().union(*regions))
    assert places.codes("E92000001") == frozenset({"E92000001"}).union(*regions)
    areas = (PlaceKind.COMBINED_AUTHORITY, PlaceKind.STRATEGIC_AUTHORITY)
    english = {p.code for p in places.councils() if p.nation == "England" and p.kind not in areas}
    assert english < places.codes("E92000001")


def test_a_merger_is_told_and_not_followed(places: Places) -> None:
    north_yorkshire = places.find("E06000065")
    assert places.codes(north_yorkshire.code) == {"E06000065"}
    (note,) = north_yorkshire.notes
    assert "Craven (E07000163)" in note
    assert "not included" in note

    cumbria = places.find("Cumbria")
    assert cumbria.until == date(2023, 4, 1)
    assert places.codes(cumbria.code).isdisjoint({"E06000063", "E06000064"})
    (note,) = cumbria.notes
    assert "Cumberland (E06000063)" in note
    assert "Westmorland and Furness (E06000064)" in note

    allerdale = places.find("Allerdale")
    assert places.codes(allerdale.code) == {"E07000026"}


def test_no_code_of_a_place_stands_for_another_place_as_well(places: Places) -> None:
    for place in places.councils():
        for code in (place.code, *place.former_codes):
            assert places.find(code) is place


def test_a_name_that_several_places_have_is_refused_with_their_codes(places: Places) -> None:
    with pytest.raises(UnknownPlace, match="2 places") as refused:
        places.find("West Midlands")
    assert "E12000005" in refused.value.next_step
    assert "E47000007" in refused.value.next_step


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("Shefield", "E08000039"), ("Hull", "E06000010"), ("Newcastle", "E08000021")],
)
def test_an_unknown_name_is_answered_with_near_ones(
    places: Places, text: str, suggestion: str
) -> None:
    with pytest.raises(UnknownPlace) as refused:
        places.find(text)
    assert suggestion in refused.value.next_step


@pytest.mark.parametrize("text", ["", " ", "Atlantis", "E08000099", "E0800001", "%", "x" * 10_000])
def test_what_is_no_place_is_unknown(places: Places, text: str) -> None:
    with pytest.raises(UnknownPlace):
        places.find(text)
    with pytest.raises(UnknownPlace):
        places.codes(text)


def test_councils_are_those_of_today_with_their_official_names(places: Places) -> None:
    councils = {place.code: place.official_name for place in places.councils()}
    assert councils["E08000039"] == "Sheffield City Council"
    assert councils["E08000035"] == "Leeds City Council"
    assert "E10000006" not in councils
    assert "E12000003" not in councils
    assert len(councils) == len(set(councils.values()))


def test_the_shipped_files_are_small(places: Places) -> None:
    assert sum(path.stat().st_size for path in SHIPPED.glob("*.csv")) < 300_000


@pytest.mark.shared_data
def test_the_shipped_files_are_what_the_build_makes_of_the_published_ones(
    shared: Path, tmp_path: Path
) -> None:
    build.main(shared / "data" / "lookups", tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in SHIPPED.glob("*.csv")}
