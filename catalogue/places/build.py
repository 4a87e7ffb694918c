"""Makes the CSV files of this folder from published lookups: see the README for their publishers.

    python -m catalogue.places.build FOLDER

FOLDER holds `uk_local_authorities_future.csv`, `lookup_name_to_registry.csv` (mySociety),
`geo_la_all_codes.csv`, `geo_utla_all_codes.csv` and `geo_rgn_all_codes.csv` (ONS). The result
depends on nothing else.
"""

import csv
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from catalogue.places.names import plain_name

Row = dict[str, str]

_HERE = Path(__file__).parent
_NATIONS = {
    "England": "E92000001",
    "Wales": "W92000004",
    "Scotland": "S92000003",
    "Northern Ireland": "N92000002",
}
_KINDS = {
    "NMD": "district",
    "UA": "unitary authority",
    "MD": "metropolitan district",
    "LBO": "London borough",
    "CC": "city corporation",
    "CTY": "county",
    "COMB": "combined authority",
    "SRA": "strategic authority",
    "SCO": "Scottish council area",
    "WPA": "Welsh principal area",
    "NID": "Northern Ireland district",
}
_AUTHORITY_WORDS = re.compile(r" (Mayoral )?Combined (County )?Authority$")


class Lookups:
    """The published files, and the few questions that the building asks of them."""

    def __init__(self, folder: Path) -> None:
        councils = _read(folder / "uk_local_authorities_future.csv")
        # The districts of Northern Ireland before 2015 have no area code of this kind.
        self.councils = [row for row in councils if row["gss-code"]]
        self.code_of = {row["local-authority-code"]: row["gss-code"] for row in self.councils}
        self.names = _read(folder / "lookup_name_to_registry.csv")
        self.districts = {row["LADCD"]: row for row in _read(folder / "geo_la_all_codes.csv")}
        self.regions = {
            row["RGNNM"]: row["RGNCD"] for row in _read(folder / "geo_rgn_all_codes.csv")
        }
        upper = {row["UTLACD"]: row for row in _read(folder / "geo_utla_all_codes.csv")}
        self._region_of = {
            code: row["RGNNM"] for code, row in (upper | self.districts).items() if row["RGNNM"]
        }
        self.former = self._former_codes()

    def current(self, code: str) -> str:
        """The code that the same place has today."""
        while code in self.former:
            code = self.former[code]
        return code

    def region(self, row: Row) -> str:
        """The region of a council. ONS wins: mySociety has Lincolnshire and Derbyshire elsewhere."""
        successor = self.code_of.get(row["replaced-by"].split(",")[0], "")
        name = self._region_of.get(row["gss-code"]) or self._region_of.get(successor, row["region"])
        return name if name in self.regions else ""

    def _former_codes(self) -> dict[str, str]:
        """Recodes: the same council under another code, by either publisher."""
        found = {
            former: row["gss-code"]
            for row in self.councils
            # A combined authority's former code stood for another set of councils.
            if row["local-authority-type"] != "COMB"
            for former in row["former-gss-codes"].split(",")
            if former
        }
        for row in self.districts.values():
            if row["LADCD"] != row["LADCD_ACTIVE"] and row["LADNM"] == row["LADNM_ACTIVE"]:
                found[row["LADCD"]] = row["LADCD_ACTIVE"]
        return found


def main(folder: Path, into: Path = _HERE) -> None:
    """Write the CSV files to `into`."""
    lookups = Lookups(folder)
    _write(into / "places.csv", _places(lookups))
    _write(
        into / "former_codes.csv",
        [{"former_code": code, "code": lookups.current(code)} for code in lookups.former],
    )
    _write(into / "members.csv", _members(lookups))
    _write(into / "successors.csv", _successors(lookups))
    _write(into / "names.csv", _names(lookups))


def _places(lookups: Lookups) -> list[Row]:
    areas = [
        {"code": code, "name": name, "official_name": name, "kind": "nation", "nation": name}
        for name, code in _NATIONS.items()
    ]
    areas += [
        {
            "code": code,
            "name": name,
            "official_name": name,
            "kind": "region",
            "nation": "England",
            "region": name,
        }
        for name, code in lookups.regions.items()
    ]
    columns = ("code", "name", "official_name", "kind", "nation", "region", "since", "until")
    rows = areas + [_council(lookups, row) for row in lookups.councils]
    return [{column: row.get(column, "") for column in columns} for row in rows]


def _council(lookups: Lookups, row: Row) -> Row:
    return {
        "code": lookups.current(row["gss-code"]),
        "name": _name(row),
        "official_name": row["official-name"],
        "kind": _KINDS[row["local-authority-type"]],
        "nation": row["nation"],
        "region": lookups.region(row),
        "since": row["start-date"],
        "until": row["end-date"],
    }


def _name(row: Row) -> str:
    # The short names of some combined authorities are those of other areas.
    if row["local-authority-type"] == "COMB":
        return _AUTHORITY_WORDS.sub("", row["official-name"])
    return row["nice-name"]


def _members(lookups: Lookups) -> list[Row]:
    """Which area covers which, one step each; who reads it goes on from there."""
    found: set[tuple[str, str]] = set()
    for code in lookups.regions.values():
        found.add((_NATIONS["England"], code))
    for row in lookups.councils:
        member = lookups.current(row["gss-code"])
        if row["local-authority-type"] not in ("COMB", "SRA"):
            region = lookups.regions.get(lookups.region(row))
            found.add((region or _NATIONS[row["nation"]], member))
        if row["combined-authority"]:
            found.add((lookups.code_of[row["combined-authority"]], member))
        county = _county(lookups, row)
        if county:
            found.add((county, member))
    return [{"area": area, "member": member} for area, member in found]


def _county(lookups: Lookups, row: Row) -> str:
    """The county of a district. ONS wins: mySociety has Forest Heath, of Suffolk, under Surrey."""
    upper = lookups.districts.get(row["gss-code"], {}).get("UTLACD", "")
    if upper.startswith("E10"):
        return upper
    return lookups.code_of[row["county-la"]] if row["county-la"] else ""


def _successors(lookups: Lookups) -> list[Row]:
    return [
        {"code": row["gss-code"], "successor": lookups.code_of[successor]}
        for row in lookups.councils
        for successor in row["replaced-by"].split(",")
        if successor
    ]


def _names(lookups: Lookups) -> list[Row]:
    """Other names that people write, in the plain form that a search compares."""
    known = {
        (plain_name(name), row["code"])
        for row in _places(lookups)
        for name in (row["name"], row["official_name"])
    }
    also = {
        (plain_name(row["la-name"]), lookups.current(lookups.code_of[row["local-authority-code"]]))
        for row in lookups.names
        if row["local-authority-code"] in lookups.code_of
    }
    also |= {(plain_name(f"{name} region"), code) for name, code in lookups.regions.items()}
    return [{"name": name, "code": code} for name, code in also - known]


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _write(path: Path, rows: Iterable[Row]) -> None:
    ordered = sorted(rows, key=lambda row: tuple(row.values()))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(ordered[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
