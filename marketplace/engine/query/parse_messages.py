"""What the pool asks of the parse worker."""

import msgspec


class Parse(msgspec.Struct, frozen=True):
    """A statement to read."""

    sql: str


class Parsed(msgspec.Struct, frozen=True):
    """The tree has been written."""
