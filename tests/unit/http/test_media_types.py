import pytest

from marketplace.api.media_types import OFFERS, negotiate
from marketplace.engine.query.query_messages import (
    ENCODINGS,
    Compression,
    Encoding,
    OutputFormat,
)
from marketplace.errors import FormatNotOffered


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", OutputFormat.ARROW),
        ("application/*", OutputFormat.ARROW),
        ("text/*", OutputFormat.CSV),
        ("application/json", OutputFormat.JSON),
        ("Text/CSV; charset=utf-8", OutputFormat.CSV),
        ("text/html, */*;q=0.1", OutputFormat.ARROW),
        ("text/csv;q=0.5, application/json;q=0.9", OutputFormat.JSON),
        ("application/vnd.apache.arrow.stream;q=0, */*", OutputFormat.PARQUET),
        ("application/vnd.apache.parquet", OutputFormat.PARQUET),
        ("application/x-ndjson", OutputFormat.JSON_LINES),
        ("application/jsonl", OutputFormat.JSON_LINES),
    ],
)
def test_the_best_liked_format_is_given(accept: str, chosen: OutputFormat) -> None:
    assert negotiate(accept)[1] == Encoding(chosen)


ARROW = "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (f"{ARROW}; codecs=zstd", Compression.ZSTD),
        (f"{ARROW};codecs=lz4", Compression.LZ4),
        (f'{ARROW}; codecs="zstd"', Compression.ZSTD),
        (f'{ARROW}; codecs="zstd, lz4"', Compression.LZ4),
        (f'{ARROW}; codecs="br, ZSTD"', Compression.ZSTD),
        (f"{ARROW}; codecs=zstd, {ARROW};q=0.5", Compression.ZSTD),
        (f"{ARROW}; codecs=br, {ARROW};q=0.5", Compression.NONE),
        (f"{ARROW}; codecs=lz4;q=0.1, {ARROW}; codecs=zstd;q=0.2", Compression.ZSTD),
        (f"{ARROW}, text/csv;q=0.9", Compression.NONE),
    ],
)
def test_buffers_are_packed_only_as_the_caller_can_unpack_them(
    accept: str, chosen: Compression
) -> None:
    media_type, encoding = negotiate(accept)

    assert encoding == Encoding(OutputFormat.ARROW, chosen)
    assert media_type == (
        ARROW if chosen is Compression.NONE else f"{ARROW}; codecs={chosen.value}"
    )


def test_every_encoding_is_offered() -> None:
    assert set(OFFERS.values()) == set(ENCODINGS)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "*/*;q=0",
        "text/csv;q=0",
        "",
        ";;;",
        "text/csv;q=nonsense",
        "a/b;q=inf",
        f"{ARROW}; codecs=br",
        '"' * 9,
    ],
)
def test_a_call_that_accepts_no_format_is_refused(accept: str) -> None:
    with pytest.raises(FormatNotOffered) as caught:
        negotiate(accept)
    assert "text/csv" in caught.value.next_step
