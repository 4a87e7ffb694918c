"""What text may hold so that every database keeps it as it is and every screen shows it."""

import re

from marketplace.errors import RequestMalformed

# PostgreSQL keeps no NUL, no encoding keeps half of a surrogate pair, and a terminal obeys the rest.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_plain(text: str) -> bool:
    """Whether a text is free of control characters; tabs and line ends are none."""
    return _UNFIT.search(text) is None


def check_lines(**lines: str) -> None:
    """Raise RequestMalformed for the first name, title or other line that holds more than text."""
    for name, line in lines.items():
        if _UNFIT_IN_LINE.search(line):
            raise RequestMalformed(
                f"The {name} holds a line end, a NUL or another control character.",
                next_step="Write it as plain text on one line.",
            )
