"""The Python client: `connect`, then SQL in and Arrow out. It needs nothing of the server.

>>> from marketplace.client import connect
>>> with connect("https://data.example.gov.uk", token="dmk_...") as client:  # doctest: +SKIP
...     frame = client.query("SELECT * FROM mhclg.temporary_accommodation").to_polars()
"""

from marketplace.client.client import Client, connect
from marketplace.client.errors import (
    ClientError,
    InsecureConnection,
    InvalidCall,
    LibraryMissing,
    MarketplaceProblem,
    ResultConsumed,
    ServiceUnreachable,
    StreamCut,
)
from marketplace.client.result import Result

__all__ = [
    "Client",
    "ClientError",
    "InsecureConnection",
    "InvalidCall",
    "LibraryMissing",
    "MarketplaceProblem",
    "Result",
    "ResultConsumed",
    "ServiceUnreachable",
    "StreamCut",
    "connect",
]
