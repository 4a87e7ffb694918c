"""Legal gateways: the sections of law that data may pass under, as data.

The list is a start drawn up for this service. `read_in` says whether an entry was read in a code of
practice or written from memory; the latter need a lawyer before they are shown as advice.
"""

import csv
from functools import cache
from pathlib import Path

import msgspec


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway, named in requests by its code."""

    code: str
    statute: str
    section: str
    about: str
    read_in: str


@cache
def gateways() -> dict[str, Gateway]:
    """Every known gateway by its code."""
    path = Path(__file__).with_name("gateways.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        known = [msgspec.convert(row, Gateway) for row in csv.DictReader(lines)]
    return {gateway.code: gateway for gateway in known}
