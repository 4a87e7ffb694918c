"""How an error is told: what happened and why, what to do next, and the exit code of the one table.

0 done, 1 unexpected, 2 the call is wrong, 3 not found, 4 not allowed, 5 conflict, 6 the data is
wrong, 7 too large or too slow, 8 try again, 9 the service is unfit, 130 stopped by the person.
"""

import os
import re
import traceback
from collections.abc import Callable, Sequence
from datetime import date

import msgspec
from cyclopts import CoercionError, CycloptsError
from rich.text import Text

from access_policies.errors import PolicyError
from catalogue.errors import Problem
from marketplace.cli.screen import clean, stderr
from marketplace.client import ClientError
from marketplace.errors import answer_for

_STOPPED = 130


# Members of forms and settings of a file, as the service names them, and the options they are here.
_OPTIONS = {
    name: "--" + name.replace("_", "-")
    for name in (
        "access_rights",
        "article_6",
        "article_9",
        "data_type",
        "date_order",
        "header_line",
        "last_day",
        "last_line",
        "power_named",
        "schedule_1",
        "visible_to",
    )
} | {"text_columns": "--text-column", "text_column": "--text-column"}

# Not inside quotes or a longer name: there it is a stranger's word, a column's name say.
_NAMED = re.compile(rf"""(?<![\w"'.-])({"|".join(_OPTIONS)})(?![\w"']|\.\w)""")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, as a person or, in JSON, a program is told."""

    title: str
    detail: str
    next_step: str = ""
    lines: tuple[str, ...] = ()
    exit_code: int


def exit_code_of(run: Callable[[], None], *, json: bool = False) -> int:
    """Run one command; tell whatever goes wrong without a traceback, and return the exit code."""
    try:
        run()
    except BrokenPipeError:
        # The reader (`head`, say) has gone; nobody is left to tell, and the pipe's end must not
        # be flushed again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the last line of defence against a traceback
        failure = _failure(error)
        if json:
            stderr.file.write(msgspec.json.encode(failure).decode() + "\n")
        else:
            tell(failure)
        return failure.exit_code
    return 0


def tell(failure: Failure) -> None:
    """Write a failure for a person to standard error."""
    told = [Text.assemble((f"{clean(failure.title)}: ", "bold red"), clean(failure.detail))]
    told += [Text(f"  {clean(finding)}") for finding in failure.lines]
    if failure.next_step:
        told.append(Text.assemble(("Next: ", "bold"), clean(failure.next_step)))
    for line in told:
        stderr.print(line, soft_wrap=True)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, KeyboardInterrupt):
        return Failure(title="Stopped", detail="You stopped the command.", exit_code=_STOPPED)
    if isinstance(error, CycloptsError):
        return _misunderstood(error)
    if isinstance(error, ClientError):
        return _named(error.title, error.exit_code, error.detail, error.next_step, error.lines)
    if isinstance(error, Problem | PolicyError):
        answer = answer_for(error)
        lines = error.lines if isinstance(error, Problem) else ()
        return _named(answer.title, answer.exit_code, error.detail, error.next_step, lines)
    return _unexpected(error)


def _misunderstood(error: CycloptsError) -> Failure:
    command = " ".join(("marketplace", *(error.command_chain or ())))
    dated = isinstance(error, CoercionError) and error.target_type is date
    return Failure(
        title="The command cannot be understood",
        detail=f"{error} Write a day as YYYY-MM-DD." if dated else str(error),
        next_step=f"See {command} --help.",
        exit_code=2,
    )


def _named(
    title: str, exit_code: int, detail: str, next_step: str, lines: Sequence[str]
) -> Failure:
    """The service's words, with what it calls a setting named as the option that it is here."""
    return Failure(
        title=title,
        detail=_as_options(detail),
        next_step=_as_options(next_step),
        lines=tuple(map(_as_options, lines)),
        exit_code=exit_code,
    )


def _as_options(sentence: str) -> str:
    return _NAMED.sub(lambda found: _OPTIONS[found[1]], sentence)


def _unexpected(error: BaseException) -> Failure:
    if os.environ.get("MARKETPLACE_TRACEBACK"):
        traceback.print_exception(error)
    return Failure(
        title="Unexpected error",
        detail=f"{type(error).__name__}: {error}",
        next_step="Run it again with MARKETPLACE_TRACEBACK=1 to see where it arose, and report it.",
        exit_code=1,
    )
