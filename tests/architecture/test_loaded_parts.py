"""What a process that waits for long has not loaded: libraries cost each process memory of its own."""

import subprocess
import sys

import pytest

_SUPERVISOR = """
import marketplace.cli.application, marketplace.supervisor
from marketplace.cli.server_parts import need_server
need_server()
"""


@pytest.mark.parametrize(
    ("process", "loads", "without"),
    [
        (
            "the supervisor, from the command line on",
            _SUPERVISOR,
            {"duckdb", "litestar", "sqlalchemy"},
        ),
        (
            "the process that waits to build an extract",
            "import marketplace.engine.extract.extracting",
            {"pyarrow", "numpy"},
        ),
    ],
)
def test_a_process_that_waits_has_not_loaded_what_it_does_not_use(
    process: str, loads: str, without: set[str]
) -> None:
    code = f"{loads}\nimport sys\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "marketplace.errors" in loaded
    assert without & set(loaded) == set(), process
