"""Extracts: for each agreed scope over a release, Parquet files that hold exactly that and no more.

What a caller may not see is not there, so their SQL runs unmodified (decision 0003).
"""

from marketplace.extracts.extracts import Extracts

__all__ = ["Extracts"]
