"""How much a request or an approval may say, and in what characters; all faults at once.

Whatever is written here is kept for good and read by people, in lists too.
"""

from collections.abc import Iterator

import msgspec

from access_policies.scope import TableScope
from marketplace.errors import InvalidSharing
from marketplace.plain_text import is_plain
from marketplace.sharing.draft import Approval, RequestDraft

_LONGEST_TEXT = 10_000
_LONGEST_ITEM = 1_000
_MOST_ITEMS = 100
# A table may well have hundreds of columns, and England has hundreds of councils.
_MOST_IN_SCOPE = 2_000
_OF_A_SCOPE = frozenset({"columns", "places", "values"})


def check(written: RequestDraft | Approval | tuple[TableScope, ...]) -> None:
    """Raise InvalidSharing for what is too long or holds control characters, with a line each."""
    faults = tuple(_faults("scope", msgspec.to_builtins(written)))
    if faults:
        raise InvalidSharing(
            "What was written cannot be kept.",
            next_step="Put right what is listed: plain text, and not too much of it.",
            lines=few(faults),
        )


def few(lines: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """The first twenty lines and how many more there are, so that no answer grows with a call."""
    most = 20
    more = len(lines) - most
    return (*lines[:most], f"There are {more} more like these.") if more > 0 else tuple(lines)


def _faults(name: str, value: object, longest: int = _LONGEST_TEXT) -> Iterator[str]:
    match value:
        case str():
            if len(value) > longest:
                yield f'"{name}" has a text of {len(value)} characters; {longest} are the most.'
            elif not is_plain(value):
                yield f'"{name}" holds a NUL or another control character.'
        case list() | tuple():
            most = _MOST_IN_SCOPE if name in _OF_A_SCOPE else _MOST_ITEMS
            if len(value) > most:
                yield f'"{name}" lists {len(value)}; {most} are the most.'
                return
            for item in value:
                yield from _faults(name, item, _LONGEST_ITEM)
        case dict():
            for key, inner in value.items():
                yield from _faults(key, inner, longest)
        case _:
            return  # numbers and truth values
