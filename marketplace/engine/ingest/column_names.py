"""From a publisher's headings to column names: SQL identifiers, the same for the same heading.

A name must not depend on where the column stands or on what else is in the file, because the next
release may have another order and agreements list columns by name.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from catalogue.address import identifier_from
from catalogue.table_schema import Column, TableSchema
from marketplace.errors import FileUnreadable

_LONGEST_HEADING = 500
_MOST_LISTED = 50
_SPACE = re.compile(r"\s+")
_LONGEST_NAME = 63
_ROW_NUMBER = "file_row_number"  # what DuckDB calls a row's place in a Parquet file
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")


def title_of(heading: str) -> str:
    """The heading on one line, without space around it."""
    return _SPACE.sub(" ", heading).strip()


def name_columns(headings: Sequence[str], contract: TableSchema | None) -> tuple[str, ...]:
    """A name for each heading, in order; a heading that the contract knows keeps its name.

    Two different headings that would have one name each get a suffix made of the heading itself.
    Raises FileUnreadable for headings that are the same but for case and space, that hold
    invisible characters (NUL, control, direction marks), or that are too long.
    """
    titles = [title_of(heading) for heading in headings]
    findings = [*_unfit(headings), *_repeated(titles)]
    if findings:
        raise FileUnreadable(
            "The column headings cannot be used.",
            next_step="Correct the headings; each must be there once and be plain text.",
            lines=findings,
        )
    known = {_folded(column.title or column.name): column.name for column in _columns(contract)}
    names = [known.get(_folded(title)) or _name(title) for title in titles]
    counts = Counter(names)
    return tuple(
        name if counts[name] == 1 else _suffixed(name, title)
        for name, title in zip(names, titles, strict=True)
    )


def columns_meant(
    wanted: Sequence[str], titles: Mapping[str, str], *, option: str
) -> tuple[str, ...]:
    """The names of the columns that a publisher means in an option, by heading or name in any case.

    Each once, in the order of `wanted`. `titles` are the headings by column name. Raises FileUnreadable where something names none: a
    misspelt column would otherwise be read as if nothing had been said of it.
    """
    known = {_folded(title): name for name, title in titles.items()} | {
        name: name for name in titles
    }
    meant = {text: known.get(_folded(title_of(text))) for text in wanted}
    unknown = [text for text, name in meant.items() if name is None]
    if unknown:
        raise FileUnreadable(
            f"{option} names what is no column of the file: {_listed(unknown)}.",
            next_step=f"The columns are {_listed(list(titles.values()))}.",
        )
    return tuple(dict.fromkeys(name for name in meant.values() if name is not None))


def _listed(texts: Sequence[str]) -> str:
    shown = ", ".join(repr(text[:60]) for text in texts[:_MOST_LISTED])
    more = len(texts) - _MOST_LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown


def _columns(contract: TableSchema | None) -> tuple[Column, ...]:
    return contract.columns if contract else ()


def _name(title: str) -> str:
    """The identifier of a title; one without Latin letters or digits is named after its content.

    >>> _name("Net Amount (£)")
    'net_amount'
    """
    if not re.search(r"[a-z0-9]", unicodedata.normalize("NFKD", title).lower()):
        return _suffixed("column", title)
    name = identifier_from(title)
    return f"{name}_" if name == _ROW_NUMBER else name


def _suffixed(name: str, title: str) -> str:
    mark = hashlib.sha256(_folded(title).encode()).hexdigest()[:6]
    return f"{name[: _LONGEST_NAME - 7].rstrip('_')}_{mark}"


def _folded(title: str) -> str:
    return unicodedata.normalize("NFKC", title).casefold()


def _unfit(headings: Sequence[str]) -> list[str]:
    findings = []
    for position, heading in enumerate(headings, start=1):
        hidden = next(
            (mark for mark in heading if not mark.isspace() and _is_invisible(mark)), None
        )
        if hidden is not None:
            findings.append(
                f"Column {position}: the heading holds the invisible character U+{ord(hidden):04X}."
            )
        elif len(heading) > _LONGEST_HEADING:
            findings.append(
                f"Column {position}: the heading has {len(heading):,} characters; "
                f"{_LONGEST_HEADING} are the most."
            )
    return findings[:20]


def _is_invisible(mark: str) -> bool:
    return unicodedata.category(mark) in _INVISIBLE


def _repeated(titles: Sequence[str]) -> list[str]:
    positions: dict[str, list[int]] = defaultdict(list)
    for position, title in enumerate(titles, start=1):
        positions[_folded(title)].append(position)
    findings = []
    for places in positions.values():
        if len(places) > 1:
            spellings = sorted({repr(titles[place - 1][:60]) for place in places})
            columns = ", ".join(map(str, places))
            findings.append(f"Columns {columns} have the same heading: {' / '.join(spellings)}.")
    return findings[:20]
