"""Results into files and files into uploads, piece by piece and whole or not at all."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from marketplace.client.errors import InvalidCall, StreamCut
from marketplace.client.result import open_arrow, whole_batches
from marketplace.client.transport import ARROW, Body

Report = Callable[[int, int | None], None]
"""Told now and then how many bytes are done, and of how many where that is known."""

_PIECE = 1024 * 1024

FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".arrow": ARROW,
    ".json": "application/json",
    ".jsonl": "application/jsonl",
}
"""The media type to ask for, by the ending of the file to write."""


def media_type_for(path: Path, file_format: str | None = None) -> str:
    """The media type for a format (`csv`), or else for a file's ending. Raises InvalidCall."""
    if file_format is not None:
        return media_type_of(file_format)
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise InvalidCall(
            f"The file name {path.name} does not say a format that results can have.",
            next_step=f"Let it end in one of: {', '.join(FORMATS)}; or say the format.",
        ) from None


def media_type_of(file_format: str) -> str:
    """The media type of a format (`csv`). Raises InvalidCall."""
    try:
        return FORMATS[f".{file_format}"]
    except KeyError:
        raise InvalidCall(
            f"Results do not come as {file_format}.",
            next_step=f"Ask for one of: {', '.join(name[1:] for name in FORMATS)}.",
        ) from None


def check_target(path: Path) -> None:
    """Raise InvalidCall where no file can appear at `path`, before anything is asked for it."""
    if path.is_dir():
        raise InvalidCall(f"{path} is a folder.", next_step="Name a file in it.")
    if not path.parent.is_dir():
        raise InvalidCall(
            f"There is no folder {path.parent} to write {path.name} into.",
            next_step="Make the folder first, or name another.",
        )


def write_whole(body: Body, path: Path, media_type: str) -> None:
    """Write a result of that type to `path`, which appears (or is replaced) only when all of it has come.

    The file is readable by its owner only. Raises StreamCut and leaves nothing of a broken result.
    """
    with appearing_when_whole(path) as file:
        if media_type == ARROW:
            _write_arrow(body, file)
        else:
            while len(piece := body.read_buffer(_PIECE)):
                file.write(piece)


def content_digest(path: Path) -> str:
    """The value of the header Content-Digest (RFC 9530) for a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def pieces_of(path: Path, size: int, progress: Report | None) -> Iterator[bytes]:
    """The first `size` bytes of a file. Raises StreamCut where it has become shorter."""
    sent = 0
    with path.open("rb") as file:
        while sent < size:
            piece = file.read(min(_PIECE, size - sent))
            if not piece:
                raise StreamCut(f"The file {path.name} became shorter while it was sent.")
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(sent, size)


@contextmanager
def appearing_when_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when the block ends, and is gone where it ends by an error."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _write_arrow(body: Body, file: IO[bytes]) -> None:
    # The file format rather than the stream: other programs open it without reading all of it.
    reader = open_arrow(body)
    with pa.ipc.new_file(file, reader.schema) as writer:
        for batch in whole_batches(reader, body):
            writer.write_batch(batch)
