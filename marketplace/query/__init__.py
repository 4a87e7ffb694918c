"""Journey 3: SQL in, the rows and columns agreed out, every read provable."""

from marketplace.query.querying import Querying
from marketplace.query.told import Description

__all__ = ["Description", "Querying"]
