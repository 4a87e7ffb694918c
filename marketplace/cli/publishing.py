"""`marketplace publish`, `datasets` and `dataset`: a file in, and what there is."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from marketplace.cli.choices import AudienceWord, ClassificationWord, HandlingWord
from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.screen import Json, say, show_facts, show_json, show_table, transfer
from marketplace.client.errors import InvalidCall
from marketplace.wire import ColumnDescription, DatasetDescription, TableDescription

Said = Annotated[str | None, Parameter(group="About the dataset, at its first release")]
AboutFile = Annotated[str | None, Parameter(group="About the file, where it is not clear enough")]
AboutLine = Annotated[int | None, Parameter(group="About the file, where it is not clear enough")]

_MARKED = Parameter(group="How it is marked, from this release on")

_FINDERS: dict[AudienceWord, str] = {
    "government": "people who act for central government",
    "local_government": "people who act for central or local government",
    "researcher": "people who act for government, councils or accredited research",
    "business": "people who act for government, councils, research or businesses",
    "public": "everybody with a token",
}


def publish(
    file: Path,
    address: str,
    /,
    *,
    parent: int | None = None,
    title: Said = None,
    description: Said = None,
    licence: Said = None,
    access_rights: Annotated[
        Literal["INTERNAL", "OPEN", "COMMERCIAL"] | None,
        Parameter(group="About the dataset, at its first release"),
    ] = None,
    visible_to: Annotated[
        AudienceWord | None, Parameter(group="About the dataset, at its first release")
    ] = None,
    classification: Annotated[ClassificationWord | None, _MARKED] = None,
    handling: Annotated[HandlingWord | None, _MARKED] = None,
    encoding: AboutFile = None,
    delimiter: AboutFile = None,
    header_line: AboutLine = None,
    last_line: AboutLine = None,
    sheet: AboutFile = None,
    date_order: Annotated[
        Literal["dmy", "mdy"] | None,
        Parameter(group="About the file, where it is not clear enough"),
    ] = None,
    text_column: Annotated[
        tuple[str, ...],
        Parameter(group="About the file, where it is not clear enough", negative=()),
    ] = (),
    sort: Annotated[tuple[str, ...], Parameter(group="How the table is kept", negative=())] = (),
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Publish a file (CSV, Excel, Parquet) as the next release of a dataset.

    What was inferred about the file is shown and becomes the dataset's contract: a later release
    that breaks it is refused, line by line.

    Parameters
    ----------
    file
        The file; its ending tells the format, and .gz is unpacked.
    address
        organisation.dataset, or organisation.dataset.table where the dataset has several tables.
    parent
        The release you build on (0 for none): you are refused if another came first.
    title
        What people read in a list; made from the address unless said.
    description
        What it is, for people who decide whether it helps them.
    licence
        The address of a licence, or DATA_SHARE_AGREEMENT, which it is unless said.
    access_rights
        How the dataset is classed; INTERNAL unless said. It opens no data.
    visible_to
        The least trusted audience that may find the dataset; government unless said. It opens no
        data.
    classification
        The security classification; OFFICIAL unless said, and anything higher is refused.
    handling
        hmg_use_only keeps the dataset, its description too, inside central government from this
        release on; none lifts that. As it was marked before unless said.
    encoding
        The encoding of the text, such as utf-8 or cp1252.
    delimiter
        What stands between the cells of a line.
    header_line
        The line that holds the headings, from 1.
    last_line
        The last line of the table, where totals or notes follow it.
    sheet
        The sheet of an Excel file.
    date_order
        Whether 01/02/2026 is the first of February (dmy) or the second of January (mdy).
    text_column
        A column to keep as text; may be given several times.
    sort
        A column to sort the rows by, so that a query for few of its values reads little; may be
        given several times, the first one first. Later releases are sorted so too.
    json
        Write JSON.
    """
    said = {
        "title": title,
        "description": description,
        "licence": licence,
        "access_rights": access_rights,
        "visible_to": visible_to,
        "classification": classification,
        "handling": handling,
        "encoding": encoding,
        "delimiter": delimiter,
        "header_line": header_line,
        "last_line": last_line,
        "sheet": sheet,
        "date_order": date_order,
        "text_columns": text_column,
        "sort": sort,
    }
    given = {name: value for name, value in said.items() if value}
    if not file.is_file():
        fault = f"{file} is a folder." if file.is_dir() else f"There is no file {file}."
        raise InvalidCall(fault, next_step="Name the file to publish.")
    with service.client() as client, transfer(f"Publishing {file.name}") as report:
        published = client.publish(file, address, parent=parent, progress=report, **given)
    if json:
        show_json(published)
        return
    release, table = published.release, published.table
    say(f"{release.dataset} release {release.number}: {table.name} has {table.rows:,} rows.")
    for sentence in published.inferred:
        say(f"  {sentence}")
    _show_columns(table)
    if release.number == 1:
        say(
            f"It is listed now: {_FINDERS[visible_to or 'government']} can find {release.dataset} "
            "and ask for it. Nobody outside its organisation can read it before its owner approves."
        )


def datasets(*words: str, json: Json = False, service: Service = SERVICE) -> None:
    """List the datasets that you may know of, or those whose texts hold every word.

    Parameters
    ----------
    words
        What to look for in addresses, titles and descriptions.
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.search(" ".join(words))
    if json:
        show_json(found)
        return
    if not found:
        fitting = " with these words" if words else ""
        say(f"None{fitting}. You see what is listed for you, and what your agreements name.")
        return
    show_table(
        ("address", "title", "licence"), ((one.address, one.title, one.licence) for one in found)
    )
    say(f"{len(found)} that you may know of. Look at one with: marketplace dataset ADDRESS")


def dataset(address: str, /, *, json: Json = False, service: Service = SERVICE) -> None:
    """Describe a dataset: its newest release, its columns, and whether you may query it.

    Parameters
    ----------
    address
        organisation.dataset.
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.dataset(address)
    if json:
        show_json(found)
        return
    _show_dataset(found)


def _show_dataset(found: DatasetDescription) -> None:
    release = found.release
    show_facts(
        [
            ("dataset", found.address),
            ("title", found.title),
            ("description", found.description),
            ("licence", found.licence),
            ("marking", "OFFICIAL-SENSITIVE" if found.official_sensitive else "OFFICIAL"),
            ("handling", "HMG USE ONLY" if found.handling == "hmg_use_only" else ""),
            ("release", f"{release.number}, published {release.published_at:%d %b %Y}"),
            ("yours", "yes" if found.readable else "no"),
            ("why", found.reason),
        ]
    )
    if not release.tables:
        say("Its tables and columns are not yours to see.")
    for table in release.tables:
        say("")
        say(f"{table.address}: {table.rows:,} rows, contract version {table.contract_version}")
        _show_columns(table)


def _show_columns(table: TableDescription) -> None:
    if table.sort:
        say(f"Its rows are sorted by {', '.join(table.sort)}.")
    show_table(
        ("column", "type", "heading in the file", "remarks"),
        (
            (
                column.name,
                column.type,
                column.title,
                "; ".join(_remarks(column)),
            )
            for column in table.columns
        ),
    )


def _remarks(column: ColumnDescription) -> list[str]:
    remarks = ["area codes"] if column.place else []
    if column.sensitivity != "none":
        remarks.append(column.sensitivity.replace("_", " "))
    if column.identifier:
        remarks.append(f"identifier: {column.identifier}")
    if column.missing_markers:
        remarks.append(f"read as no value: {' '.join(column.missing_markers)}")
    if column.shown:
        remarks.append(f"to you: {column.shown}")
    return remarks
