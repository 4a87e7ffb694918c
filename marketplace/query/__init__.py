"""Journey 3: SQL in, the rows and columns agreed out, every read provable."""

from marketplace.query.querying import Description, Querying

__all__ = ["Description", "Querying"]
