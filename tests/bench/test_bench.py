"""That the benchmarks measure everything that they promise; how fast is for `make bench`."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

BENCH = Path(__file__).parent
# A difference; the time in which nobody saw the worker go on; what came in a tenth of a second.
MAY_BE_NOTHING = ("added", "cancelled query", "grants written")
SAME = runpy.run_path(str(BENCH / "same.py"))


def test_a_quick_run_compares_every_value_and_leaves_all_figures(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--build", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    measured = {figure["what"]: figure["measured"] for figure in report["figures"]}
    nothing = {name for name, value in measured.items() if value <= 0}
    assert {name for name in nothing if not any(may in name for may in MAY_BE_NOTHING)} == set()
    for protocol in ("HTTP", "Flight SQL"):
        assert f"TPC-H, geometric mean of ratios, {protocol}" in measured
        assert {f"TPC-H q{number:02}, {protocol}" for number in range(1, 23)} <= set(measured)
        assert {
            f"pull of lineitem, {protocol}",
            f"SELECT 1, warm map, added at p50, {protocol}",
            f"small query, warm map, added at p50, {protocol}",
            f"small query, new map, p50, {protocol}",
            f"point query, p99, {protocol}",
            f"3 clients, 1 map, {protocol}",
            f"3 clients, 3 maps, {protocol}",
            f"cancelled query stops in its worker, {protocol}",
        } <= set(measured)
    assert {
        "TPC-H, peak memory of service and workers",
        "extract of 1/300 of lineitem, against COPY",
        "decision and audit of a read, one by one",
        "decision and audit, 64 callers",
        "rollout preview, one stage on, processor",
        "rollout preview, all stages, processor",
        "small query beside a hostile neighbour, p95 against alone",
        "publish of a CSV file, speed against COPY",
        "publish, peak memory of service and workers",
        "publish, peak sum of their resident bytes",
        "large publish, peak memory of service and workers",
        "permitted, all datasets of a listing",
    } <= set(measured)
    for kind in ("SQLite", "PostgreSQL"):
        assert {
            f"decision, warm, p99, {kind}",
            f"decision, cold, p99, {kind}",
            f"decisions recorded, 64 callers and a writer, {kind}",
            f"grant to effect in another process, p99, {kind}",
            f"revoke to effect in another process, p99, {kind}",
        } <= set(measured)


def _table(**columns: list[Any]) -> pa.Table:
    return pa.table(columns)


@pytest.mark.parametrize(
    ("found", "order", "are_same"),
    [
        (_table(n=[1, 2, 2], x=[0.5, 1.5, 2.5]), ["n"], True),
        (_table(n=[1, 2, 2], x=[0.5, 2.5, 1.5]), ["n"], True),
        (_table(n=[1, 2, 2], x=[0.5, 2.5, 1.5]), ["n", "x"], False),
        (_table(n=[2, 1, 2], x=[1.5, 0.5, 2.5]), ["n"], False),
        (_table(n=[2, 1, 2], x=[1.5, 0.5, 2.5]), [], True),
        (_table(n=[1, 2, 2], x=[0.5, 1.5, 2.5 * (1 + 1e-10)]), ["n"], True),
        (_table(n=[1, 2, 2], x=[0.5, 1.5, 2.5 * (1 + 1e-8)]), ["n"], False),
        (_table(n=[1, 2, 2], x=[0.5, 1.5, None]), ["n"], False),
        (_table(n=[1, 2], x=[0.5, 1.5]), ["n"], False),
        (_table(n=[1, 2, 2], y=[0.5, 1.5, 2.5]), ["n"], False),
        (_table(n=[1.0, 2.0, 2.0], x=[0.5, 1.5, 2.5]), ["n"], False),
    ],
)
def test_results_are_the_same_in_every_value_and_in_the_order_that_was_asked_for(
    found: pa.Table, order: list[str], are_same: bool
) -> None:
    expected = _table(n=[1, 2, 2], x=[0.5, 1.5, 2.5])
    assert SAME["same"](expected, found, order) is are_same


def test_the_order_asked_for_is_the_last_one_of_the_statement() -> None:
    assert SAME["order_of"]("SELECT a, b FROM t ORDER BY a DESC, b\nLIMIT 5\n") == ["a", "b"]
    assert SAME["order_of"]("SELECT sum(a) OVER (ORDER BY b) FROM t") == []


def test_a_figure_is_missed_on_its_worse_side_only() -> None:
    figure = runpy.run_path(str(BENCH / "figure.py"))["Figure"]
    assert figure(what="ratio", measured=1.2, unit="", reach=1.1).missed
    assert not figure(what="ratio", measured=1.0, unit="", reach=1.1).missed
    assert figure(what="speed", measured=0.4, unit="", reach=0.5, more=True).missed
    assert not figure(what="speed", measured=9, unit="", reach=0.5, more=True).missed
    assert not figure(what="stated", measured=9, unit="").missed
