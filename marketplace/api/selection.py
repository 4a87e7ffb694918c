"""Which bytes of a file a call asks for: conditions and ranges (RFC 9110, sections 13 and 14).

Only the strong entity tag is a validator: a date would not change where an agreement was revised.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from marketplace.errors import PreconditionFailed, RangeUnsatisfiable

# One range. Of several the answer may be the whole file (section 14.2), and so it is of what is no
# range of bytes at all.
_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")
_TAG = re.compile(r'(W/)?("[^"]*")')


class Selection(NamedTuple):
    """What to answer with: 200, 206 or 304, and which bytes; of a 304 none."""

    status: HTTPStatus
    part: range


def select(method: str, headers: Mapping[str, str], *, tag: str, size: int) -> Selection:
    """What to send of a file of `size` bytes with the entity tag `tag`.

    Raises PreconditionFailed, RangeUnsatisfiable.
    """
    if "if-match" in headers and not _matches(headers["if-match"], tag, strong=True):
        raise PreconditionFailed(
            "The file is not the one that the call names.",
            next_step="List the table's files again.",
        )
    if "if-none-match" in headers and _matches(headers["if-none-match"], tag, strong=False):
        return Selection(HTTPStatus.NOT_MODIFIED, range(0))
    wanted = _RANGE.fullmatch(headers.get("range", ""))
    ranged = method == "GET" and wanted is not None and wanted.groups() != ("", "")
    if wanted is None or not ranged or headers.get("if-range", tag).strip() != tag:
        return Selection(HTTPStatus.OK, range(size))
    first, last = wanted.groups()
    part = _part(first, last, size)
    if part is None:
        return Selection(HTTPStatus.OK, range(size))
    if not part:
        raise RangeUnsatisfiable(
            f"The file has {size} bytes, and none in the range.",
            next_step="Ask for a range that begins inside the file.",
            size=size,
        )
    return Selection(HTTPStatus.PARTIAL_CONTENT, part)


def _part(first: str, last: str, size: int) -> range | None:
    """The bytes of a range, None where it is none: it ends before it begins."""
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(min(int(first), size), min(int(last) + 1, size) if last else size)


def _matches(condition: str, tag: str, *, strong: bool) -> bool:
    if condition.strip() == "*":
        return True
    return any(found == tag and not (strong and weak) for weak, found in _TAG.findall(condition))
