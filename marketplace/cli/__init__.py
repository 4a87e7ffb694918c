"""The command line: the three journeys over HTTP, and running the service itself."""

import sys
from collections.abc import Sequence
from importlib.metadata import version as _installed_version


def version() -> str:
    """The installed version."""
    return _installed_version("data-marketplace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `marketplace.cli.failures`)."""
    from marketplace.cli.application import application
    from marketplace.cli.failures import exit_code_of

    tokens = sys.argv[1:] if arguments is None else list(arguments)

    def run() -> None:
        application()(tokens, exit_on_error=False, print_error=False, result_action="return_value")

    return exit_code_of(run, json="--json" in tokens)
