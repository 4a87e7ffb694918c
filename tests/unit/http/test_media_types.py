import pytest

from marketplace.api.media_types import negotiate
from marketplace.engine.query.query_messages import OutputFormat
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
    ],
)
def test_the_best_liked_format_is_given(accept: str, chosen: OutputFormat) -> None:
    assert negotiate(accept)[1] is chosen


@pytest.mark.parametrize(
    "accept",
    ["text/html", "*/*;q=0", "text/csv;q=0", "", ";;;", "text/csv;q=nonsense", "a/b;q=inf"],
)
def test_a_call_that_accepts_no_format_is_refused(accept: str) -> None:
    with pytest.raises(FormatNotOffered) as caught:
        negotiate(accept)
    assert "text/csv" in caught.value.next_step
