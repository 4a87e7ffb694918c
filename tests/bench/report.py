"""What a run prints, and what it leaves in a file."""

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path

import duckdb
import pyarrow as pa
from figure import Figure
from plan import Plan
from rich.console import Console
from rich.table import Table


def show(console: Console, figures: list[Figure]) -> None:
    """Print one table."""
    table = Table(title="The marketplace beside DuckDB in-process")
    table.add_column("what")
    for heading in ("measured", "reach", "towards"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for figure in figures:
        if not figure.detail:
            style = "bold red" if figure.missed else None
            aims = (_number(aim) for aim in (figure.reach, figure.towards))
            table.add_row(figure.what, _number(figure.measured), *aims, figure.unit, style=style)
    console.print(table)


def write(path: Path, figures: list[Figure], plan: Plan) -> None:
    """Leave all figures as JSON, with what they were measured on."""
    report = {
        "plan": asdict(plan),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "versions": {"duckdb": duckdb.__version__, "pyarrow": pa.__version__},
        "figures": [asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _commit() -> str:
    here = Path(__file__).parent
    said = subprocess.run(
        ["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return said.stdout.strip()
