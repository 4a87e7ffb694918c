"""Make the demo's data from the publishers' files: `python -m marketplace.demo.prepare_data FOLDER`.

FOLDER holds `homelessness/`, `council_spend/`, `large/` and `lookups/` as their publishers released
them. What names a payee or a person, or a home that people live in, is left out; every byte that
stays is the publisher's own (encoding, byte order mark, line ends, quotes, empty columns), because
those are what a service that takes such files has to cope with. `data/README.md` says what was left
out of which file.
"""

import csv
import gzip
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

DATA = Path(__file__).with_name("data")

_GZIP_FROM_BYTES = 500_000

# One field with the comma or line end that follows it; a quoted field may hold both.
_FIELD = re.compile(rb'("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n|\n|\Z)')

# Expense areas of Trafford that are the address of one house, some of them supported homes.
_ONE_HOUSE = re.compile(rb"^UBU|\d+[a-z]? \w+ (road|close)", re.IGNORECASE)

Keep = Callable[[list[bytes]], bool]


def records(raw: bytes) -> Iterator[tuple[list[bytes], bytes]]:
    """Split CSV bytes into records of raw fields (quotes kept) and the line end of each."""
    fields: list[bytes] = []
    for match in _FIELD.finditer(raw):
        if match.start() == len(raw) and not fields:
            break
        fields.append(match[1])
        if match[2] != b",":
            yield fields, match[2]
            fields = []


def without_columns(raw: bytes, names: set[str], keep: Keep = lambda _fields: True) -> bytes:
    """Cut the named columns out of a CSV file and leave every other byte as it is.

    Records for which `keep` is false are left out. Raises KeyError where a name is no heading.
    """
    mark = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
    lines = records(raw.removeprefix(mark))
    heading, end = next(lines)
    titles = [field.decode("cp1252") for field in heading]
    if missing := names - set(titles):
        raise KeyError(f"no such columns: {sorted(missing)}")
    stay = [position for position, title in enumerate(titles) if title not in names]
    written = [mark, b",".join(heading[position] for position in stay), end]
    for fields, end in lines:
        if keep(fields):
            written += [b",".join(fields[position] for position in stay), end]
    return b"".join(written)


def write(name: str, content: bytes) -> None:
    """Put a file beside this one, compressed where it is large, the same bytes every time."""
    path = DATA / name
    if len(content) > _GZIP_FROM_BYTES:
        path = path.with_name(f"{name}.gz")
        content = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(content)


def temporary_accommodation(folder: Path) -> None:
    """The quarterly table of 296 councils, unchanged."""
    source = folder / "homelessness" / "mhclg_ta1_2025-04_06_tidy_by_la.csv"
    write("temporary_accommodation_2025_q2.csv", source.read_bytes())


def spending(folder: Path) -> None:
    """Two months of Leeds and one of Trafford without payees and without free text."""
    leeds = folder / "council_spend"
    march = gzip.decompress((leeds / "leeds_2011-03_raw.csv.gz").read_bytes())
    july = gzip.decompress((leeds / "leeds_2013-07_raw.csv.gz").read_bytes())
    trafford = (leeds / "trafford_2014-09_raw.csv").read_bytes()
    write("leeds_2011-03.csv", without_columns(march, {"Supplier name"}))
    write("leeds_2013-07.csv", without_columns(july, {"SupplierName"}))
    payee = {"Supplier Name", "Supplier ID", "VAT Registration Number"}
    free_text = {"Invoice Number", "Extended Description"}
    area = next(records(trafford))[0].index(b"Expense Area")
    kept = without_columns(
        trafford, payee | free_text, lambda row: not _ONE_HOUSE.search(row[area])
    )
    write("trafford_2014-09.csv", kept)


def payments(folder: Path) -> None:
    """All 474,674 payments of Manchester 2010 to 2022 without the columns about payees."""
    table = pq.read_table(folder / "large" / "uk_council_spend_manchester_2010_2022.parquet")
    stay = ["Payment Date", "Amount", "Organisational Unit", "source_file"]
    kept = table.select(stay).replace_schema_metadata(None)
    pq.write_table(
        kept, DATA / "manchester_payments.parquet", compression="zstd", compression_level=19
    )


def organisations(folder: Path) -> None:
    """The GOV.UK register's organisations that have no end date: key, name and website."""
    source = folder / "lookups" / "register_government-organisation.csv"
    with source.open(encoding="utf-8", newline="") as file:
        current = [row for row in csv.DictReader(file) if not row["end-date"]]
    text = io.StringIO()
    columns = ["key", "name", "website"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(current, key=lambda row: row["name"]))
    write("govuk_organisations.csv", text.getvalue().encode())


def main() -> None:
    """Write every file of `data/` anew."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m marketplace.demo.prepare_data FOLDER")
    folder = Path(sys.argv[1])
    for prepare in (temporary_accommodation, spending, payments, organisations):
        prepare(folder)


if __name__ == "__main__":
    main()
