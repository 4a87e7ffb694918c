"""The filters of metadata calls, as JDBC and ODBC have them."""

from collections.abc import Iterator

ESCAPE = "\\"

_ANY_TEXT, _ANY_CHARACTER = object(), object()


def like(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern: `%` is any text, `_` one character; an empty pattern fits anything.

    >>> like("temporary_accommodation", "temp%")
    True
    >>> like("abbc", "a_c")
    False
    >>> like("a_c", "a\\\\_c"), like("abc", "a\\\\_c")
    (True, False)
    """
    if not pattern:
        return True
    # A greedy match in one pass: after `%`, only the latest one is ever tried again, so that no
    # pattern takes longer than its length times the name's.
    signs = list(_signs(pattern))
    at = sign = 0
    retry: tuple[int, int] | None = None
    while at < len(name):
        if sign < len(signs) and signs[sign] is _ANY_TEXT:
            retry = at, sign
            sign += 1
        elif sign < len(signs) and signs[sign] in (_ANY_CHARACTER, name[at]):
            at, sign = at + 1, sign + 1
        elif retry is not None:
            retry = retry[0] + 1, retry[1]
            at, sign = retry[0], retry[1] + 1
        else:
            return False
    return all(rest is _ANY_TEXT for rest in signs[sign:])


def _signs(pattern: str) -> Iterator[object]:
    characters = iter(pattern)
    for character in characters:
        match character:
            case "%":
                yield _ANY_TEXT
            case "_":
                yield _ANY_CHARACTER
            case "\\":
                yield next(characters, ESCAPE)
            case _:
                yield character
