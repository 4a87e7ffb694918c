"""How an error is told: what happened and why, what to do next, and the exit code of the one table.

0 done, 1 unexpected, 2 the call is wrong, 3 not found, 4 not allowed, 5 conflict, 6 the data is
wrong, 7 too large or too slow, 8 try again, 9 the service is unfit, 130 stopped by the person.
"""

import os
import traceback
from collections.abc import Callable, Sequence

from cyclopts import CycloptsError
from rich.text import Text

from access_policies.errors import PolicyError
from catalogue.errors import Problem
from marketplace.cli.screen import clean, stderr
from marketplace.client import ClientError
from marketplace.errors import answer_for

_STOPPED = 130


def exit_code_of(run: Callable[[], None]) -> int:
    """Run one command; tell whatever goes wrong without a traceback, and return the exit code."""
    try:
        run()
    except KeyboardInterrupt:
        tell("Stopped", "You stopped the command.")
        return _STOPPED
    except BrokenPipeError:
        # The reader (`head`, say) has gone; nobody is left to tell, and the pipe's end must not
        # be flushed again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except CycloptsError as error:
        tell("Not a command", str(error), next_step="See marketplace --help.")
        return 2
    except ClientError as error:
        tell(error.title, error.detail, next_step=error.next_step, lines=error.lines)
        return error.exit_code
    except (Problem, PolicyError) as error:
        answer = answer_for(error)
        lines = error.lines if isinstance(error, Problem) else ()
        tell(answer.title, error.detail, next_step=error.next_step, lines=lines)
        return answer.exit_code
    except Exception as error:  # noqa: BLE001  the last line of defence against a traceback
        return _unexpected(error)
    return 0


def tell(title: str, detail: str, *, next_step: str = "", lines: Sequence[str] = ()) -> None:
    """Write an error for a person to standard error."""
    told = [Text.assemble((f"{clean(title)}: ", "bold red"), clean(detail))]
    told += [Text(f"  {clean(finding)}") for finding in lines]
    if next_step:
        told.append(Text.assemble(("Next: ", "bold"), clean(next_step)))
    for line in told:
        stderr.print(line, soft_wrap=True)


def _unexpected(error: Exception) -> int:
    if os.environ.get("MARKETPLACE_TRACEBACK"):
        traceback.print_exception(error)
    tell(
        "Unexpected error",
        f"{type(error).__name__}: {error}",
        next_step="Run it again with MARKETPLACE_TRACEBACK=1 to see where it arose, and report it.",
    )
    return 1
