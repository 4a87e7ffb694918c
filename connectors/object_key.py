"""The one check of object keys, so that none can lead out of its store."""

import re

from catalogue.errors import InvalidKey

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX = re.compile(rf"(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?")
_LONGEST = 512


def check_key(key: str) -> str:
    """Return the key if it is one. Raises InvalidKey.

    Segments of letters, digits, `_`, `.` and `-` that begin with a letter or digit, parted by
    single slashes: neither `..` nor a hidden or absolute path can be written so.
    """
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise InvalidKey(f"{key[:80]!r} is not an object key.")
    return key


def check_prefix(prefix: str) -> str:
    """Return the beginning of keys if it is one; the empty text is every key's. Raises InvalidKey."""
    if len(prefix) > _LONGEST or not _PREFIX.fullmatch(prefix):
        raise InvalidKey(f"{prefix[:80]!r} is not the beginning of an object key.")
    return prefix
