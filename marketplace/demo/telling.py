"""How the story is told: a heading per step, what each did, and a summary table at the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

# What a person is shown of one sentence; the lists of columns in some are long.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the summary: what was tried and what came of it."""

    step: int
    tried: str
    result: str


@dataclass
class Telling:
    """Prints the story as it happens and remembers what the summary needs."""

    console: Console
    steps: int
    outcomes: list[Outcome] = field(default_factory=list)
    _step: int = 0
    _began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One of the numbered steps."""
        self._step += 1
        self.console.print()
        self.console.print(Text(f"{self._step} of {self.steps}  {title}", style="bold"))
        yield

    @contextmanager
    def working(self, doing: str) -> Iterator[None]:
        """Show that something is under way, where a terminal can show it."""
        with self.console.status(Text(f"  {doing} ...")):
            yield

    @contextmanager
    def bar(self, doing: str) -> Iterator[Callable[[int, int | None], None]]:
        """A bar for bytes on their way, gone when they have come."""
        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn())
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as display:
            task = display.add_task(doing, total=None)
            yield lambda done, total: display.update(task, completed=done, total=total)

    def person(self, who: str, does: str) -> None:
        """A line in which a person acts."""
        self._print(Text.assemble((who, "cyan"), f" {does}"), 2)

    def shown(self, *lines: str) -> None:
        """What the person saw on their screen, set off from the story."""
        for line in lines:
            short = line if len(line) <= _LONGEST else f"{line[:_LONGEST].rstrip(' ,')} ..."
            self._print(Text(short, style="dim"), 6)

    def outcome(self, tried: str, result: str) -> None:
        """Keep a line for the summary and tell it."""
        self.outcomes.append(Outcome(self._step, tried, result))
        line = Table.grid(padding=(0, 1))
        line.add_row(Text("  ✔", style="green"), Text(f"{tried}: {result}"))
        self.console.print(line)

    def rows(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A small table, indented as the rest."""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
        for heading in headings:
            table.add_column(Text(heading))
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        self._print(table, 4)

    def summary(self) -> None:
        """The table at the end."""
        took = time.monotonic() - self._began
        table = Table(title=f"What happened, in {took:.0f} seconds", box=box.SIMPLE_HEAD)
        table.title_justify = "left"
        for heading in ("step", "tried", "result"):
            table.add_column(heading, overflow="fold")
        for outcome in self.outcomes:
            table.add_row(str(outcome.step), Text(outcome.tried), Text(outcome.result))
        self.console.print()
        self.console.print(table)

    def _print(self, what: Text | Table, indent: int) -> None:
        self.console.print(Padding(what, (0, 0, 0, indent), expand=False))
