"""`make bench`: the marketplace beside DuckDB itself, in one run on the same files.

Each figure is a median of rounds in which the two take turns, so that a busy machine slows both.
"In-process" is DuckDB of the same version reading the very Parquet files that the service has
released, with as many threads as the service gives a query, and no server and no policy. No result
is kept or used again. Prints one table and writes build/bench.json.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cancellation
import decision
import extract
import hostile_neighbour
import latency
import policy
import publish
import report
import rollout_preview
import throughput
import tpch
from figure import Figure
from plan import QUICK, Plan
from rich.console import Console
from world import World, opened_world

BUILD = Path(__file__).parents[2] / "build"

PARTS: dict[str, Callable[[World], list[Figure]]] = {
    "publish": publish.measure,
    "large-publish": publish.measure_large,
    "tpch": tpch.measure_queries,
    "pull": tpch.measure_pull,
    "latency": latency.measure,
    "throughput": throughput.measure,
    "extract": extract.measure,
    "decision": decision.measure,
    "policy": policy.measure,
    "rollout": rollout_preview.measure,
    "hostile": hostile_neighbour.measure,
    "cancel": cancellation.measure,
}

# It takes minutes and much of the disk, so only who names it measures it.
BY_NAME_ONLY = frozenset({"large-publish"})


def main() -> int:
    """Measure and tell; 1 where `--check` is given and a reach was missed."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else Plan()
    console = Console()
    console.width = max(console.width, 100)
    folder = arguments.build / "bench" / "world"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    figures: list[Figure] = []
    with (
        console.status("Building the world") as status,
        opened_world(folder, plan, status.update) as world,
    ):
        for name in arguments.only or _all_parts(quick=arguments.quick):
            measured = PARTS[name](world)
            for figure in measured:
                if not figure.detail:
                    console.print(f"[dim]{figure.what}: {figure.measured:.3g} {figure.unit}[/dim]")
            figures += measured
    shutil.rmtree(folder)
    report.show(console, figures)
    report.write(arguments.build / "bench.json", figures, plan)
    return int(arguments.check and any(figure.missed for figure in figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        type=_parts,
        help=f"parts to measure, separated by commas: {', '.join(PARTS)}; without, all "
        f"but {', '.join(BY_NAME_ONLY)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure next to nothing, to see that all of it runs"
    )
    parser.add_argument("--check", action="store_true", help="fail where a reach is missed")
    parser.add_argument("--build", type=Path, default=BUILD, help="where files are kept")
    return parser.parse_args()


def _all_parts(*, quick: bool) -> list[str]:
    return [name for name in PARTS if quick or name not in BY_NAME_ONLY]


def _parts(text: str) -> list[str]:
    named = text.split(",")
    unknown = [name for name in named if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no part {unknown[0]!r}")
    return [name for name in PARTS if name in named]


if __name__ == "__main__":
    sys.exit(main())
