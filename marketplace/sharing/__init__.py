"""Journey 2: requests, decisions on them, and the agreements that are the enforcement."""

from marketplace.sharing.sharing import Sharing

__all__ = ["Sharing"]
