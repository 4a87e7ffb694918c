"""The formats a result can have, chosen by the Accept header (RFC 9110, section 12.5.1).

An Arrow stream can have its buffers packed. Whoever can unpack them says so with the parameter
`codecs` of the media type, as audio and video name theirs; an answer that is packed names its codec
in Content-Type. A range with `codecs` is more specific than one without.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from marketplace.engine.query.query_messages import Compression, Encoding, OutputFormat
from marketplace.errors import FormatNotOffered

_ARROW = "application/vnd.apache.arrow.stream"

# Of those that a caller likes equally the first is given, so it is also what comes without a wish.
OFFERS = {
    _ARROW: Encoding(OutputFormat.ARROW),
    f"{_ARROW}; codecs=lz4": Encoding(OutputFormat.ARROW, Compression.LZ4),
    f"{_ARROW}; codecs=zstd": Encoding(OutputFormat.ARROW, Compression.ZSTD),
    "application/vnd.apache.parquet": Encoding(OutputFormat.PARQUET),
    "text/csv": Encoding(OutputFormat.CSV),
    "application/json": Encoding(OutputFormat.JSON),
    "application/x-ndjson": Encoding(OutputFormat.JSON_LINES),
    "application/jsonl": Encoding(OutputFormat.JSON_LINES),
}
"""What a result can be, by the Content-Type that it is given."""

# Members of a list, and parameters of a member; neither is parted inside a quoted string.
_MEMBER = re.compile(r'(?:[^,"]|"[^"]*")+')
_PARAMETER = re.compile(r';\s*([^;="\s]+)=("[^"]*"|[^;"\s]*)')


@lru_cache(64)  # each client sends one
def negotiate(accept: str) -> tuple[str, Encoding]:
    """The Content-Type and the encoding for an Accept header. Raises FormatNotOffered."""
    wishes = dict(_wishes(accept.lower()))
    best = max(OFFERS, key=lambda offer: _quality(wishes, offer))
    if _quality(wishes, best) <= 0:
        raise FormatNotOffered(
            "A result cannot be had in any of the media types that the call accepts.",
            next_step=f"Send Accept with one of: {', '.join(OFFERS)}.",
        )
    return best, OFFERS[best]


def _quality(wishes: dict[str, float], offer: str) -> float:
    """What the most specific range that covers the offer says of it."""
    media_type = offer.partition(";")[0]
    kind = media_type.partition("/")[0]
    ranges = (offer, media_type, f"{kind}/*", "*/*")
    return next((wishes[wish] for wish in ranges if wish in wishes), 0.0)


def _wishes(accept: str) -> Iterator[tuple[str, float]]:
    """Each range with its quality, one for each codec that it names."""
    for member in _MEMBER.findall(accept):
        media_range = member.partition(";")[0].strip()
        parameters = {name: value.strip('"') for name, value in _PARAMETER.findall(member)}
        quality = _weight(parameters.get("q", "1"))
        if media_range == _ARROW and "codecs" in parameters:
            for codec in parameters["codecs"].split(","):
                yield f"{media_range}; codecs={codec.strip()}", quality
        else:
            yield media_range, quality


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
