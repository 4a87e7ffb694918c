"""What a person sees: tables, JSON, progress. Text from elsewhere is cleaned before it is shown.

Titles and cells are written by strangers; a terminal obeys escape sequences and shows text reversed
after certain marks. So nothing of theirs is read as markup, and what a terminal would obey is
replaced by a visible sign.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, Parameter(name="--json", negative=())]
"""The option of every command that would otherwise show a table."""

Report = Callable[[int, int | None], None]
"""Told how much is done, and of how much where that is known."""

_LONDON = ZoneInfo("Europe/London")

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs"})
_REPLACEMENT = "�"

# Rows for another program are not folded to a terminal's usual width.
_WIDE = 200

stdout = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
stderr = Console(stderr=True, highlight=False)


def clean(value: object) -> str:
    """The value as text that a terminal shows and does not obey; nothing for None."""
    if value is None:
        return ""
    text = moment(value) if isinstance(value, datetime) else str(value)
    return "".join(map(_visible, text))


def _visible(letter: str) -> str:
    if letter.isspace():
        return " "
    return letter if unicodedata.category(letter) not in _UNSEEN else _REPLACEMENT


def moment(value: datetime) -> str:
    """A moment as people in Britain read it, with its time zone."""
    return value.astimezone(_LONDON).strftime("%d %b %Y %H:%M %Z")


def day(value: date) -> str:
    """A day as people in Britain read it."""
    return f"{value.day} {value:%B %Y}"


def end_of(value: datetime) -> str:
    """When something ends; a midnight in London is the end of the day before it."""
    local = value.astimezone(_LONDON)
    if (local.hour, local.minute, local.second) == (0, 0, 0):
        return f"the end of {day(local - timedelta(days=1))}"
    return moment(value)


def say(sentence: str) -> None:
    """A plain line on standard output, never folded: it may be there to be copied."""
    stdout.print(Text(clean(sentence)), soft_wrap=True)


def show_json(value: object) -> None:
    """A value as indented JSON for another program; never wrapped or coloured."""
    stdout.file.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def show_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    numbers: Sequence[str] = (),
) -> None:
    """Rows under headings, the first column whole, those that `numbers` names aligned right."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(
            Text(clean(heading)),
            justify="right" if heading in numbers else "left",
            overflow="fold",
            no_wrap=place == 0,
        )
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    stdout.print(table)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other; an absent value is left out."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value not in (None, ""):
            grid.add_row(Text(clean(name), style="bold"), Text(clean(value)))
    stdout.print(grid)


@contextmanager
def transfer(action: str) -> Iterator[Report]:
    """A bar for bytes on their way, on standard error; silent where that is no terminal."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with _progress(action, columns) as report:
        yield report


@contextmanager
def counting(action: str) -> Iterator[Report]:
    """A bar for things that are counted."""
    with _progress(action, (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())) as report:
        yield report


@contextmanager
def _progress(action: str, columns: Sequence[ProgressColumn]) -> Iterator[Report]:
    display = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        *columns,
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    )
    with display:
        task = display.add_task(clean(action), total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)
