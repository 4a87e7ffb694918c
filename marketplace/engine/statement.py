"""Whether a statement may run, and which tables it names."""

import msgspec


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that passed the check.

    `tables` are the names it reads in lower case, of two parts (`organisation.dataset`) or three.
    """

    sql: str
    tables: frozenset[tuple[str, ...]]
