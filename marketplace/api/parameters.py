"""The values of a statement's parameters as the query pipeline takes them: one row of Arrow.

Values in JSON are made into Arrow here. What comes as Arrow is passed on unread: only a confined
process decodes what a stranger sent.
"""

import pyarrow as pa

from marketplace.errors import RequestMalformed

Scalar = None | bool | int | float | str


def as_arrow(values: tuple[Scalar, ...] | bytes) -> bytes | None:
    """An Arrow IPC stream of one row; None for no values. Raises RequestMalformed."""
    if not values:
        return None
    if isinstance(values, bytes):
        return values
    try:
        columns = [pa.array([value]) for value in values]
    except (OverflowError, pa.ArrowException, UnicodeError):
        raise RequestMalformed(
            "A value of a parameter is a whole number beyond 64 bits, or a text that is not Unicode.",
            next_step="Send it as text and CAST it in the statement.",
        ) from None
    row = pa.record_batch(columns, names=[str(place) for place in range(len(columns))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_batch(row)
    content: bytes = sink.getvalue().to_pybytes()
    return content
