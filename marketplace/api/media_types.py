"""The formats a result can have, chosen by the Accept header (RFC 9110, section 12.5.1)."""

from marketplace.engine.query.query_messages import OutputFormat
from marketplace.errors import FormatNotOffered

# The first is what a caller gets who accepts anything.
MEDIA_TYPES = {
    "application/vnd.apache.arrow.stream": OutputFormat.ARROW,
    "application/vnd.apache.parquet": OutputFormat.PARQUET,
    "text/csv": OutputFormat.CSV,
    "application/json": OutputFormat.JSON,
}


def negotiate(accept: str) -> tuple[str, OutputFormat]:
    """The media type and format for an Accept header. Raises FormatNotOffered.

    Of the types that the caller likes equally, the first in `MEDIA_TYPES` is taken.
    """
    wishes = dict(_wish(part) for part in accept.lower().split(","))
    best = max(MEDIA_TYPES, key=lambda media_type: _quality(wishes, media_type))
    if _quality(wishes, best) <= 0:
        raise FormatNotOffered(
            "A result cannot be had in any of the media types that the call accepts.",
            next_step=f"Send Accept with one of: {', '.join(MEDIA_TYPES)}.",
        )
    return best, MEDIA_TYPES[best]


def _quality(wishes: dict[str, float], media_type: str) -> float:
    """What the most specific range that covers the type says of it."""
    kind = media_type.partition("/")[0]
    ranges = (media_type, f"{kind}/*", "*/*")
    return next((wishes[wish] for wish in ranges if wish in wishes), 0.0)


def _wish(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip() for piece in part.split(";"))
    quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return media_range, float(quality)
    except ValueError:
        return media_range, 0.0
