"""Who can read what, by what, until when, and how that changed; for those who look after data."""

from marketplace.oversight.oversight import Oversight

__all__ = ["Oversight"]
