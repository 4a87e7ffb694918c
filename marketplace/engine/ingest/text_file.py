"""A publisher's bytes as checked UTF-8 text: unpacked, its encoding known for certain, scanned.

A CSV file does not say its encoding. It is decided by decoding the whole file strictly: what its
byte-order mark says, else UTF-8, else cp1252 (what British spreadsheets write). A file that is
neither is refused, and so is one that is UTF-8 but for a few bytes, because reading that as cp1252
would garble every accent in it.
"""

import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from marketplace.engine.ingest.ingest_job import Progress
from marketplace.errors import FileUnreadable

ENCODINGS = frozenset(
    {"utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "iso-8859-1", "iso-8859-15"}
)
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ALL_BUT_QUOTES_AND_ENDS = bytes(byte for byte in range(256) if byte not in b'"\r\n')
# Two or three bytes that together are one UTF-8 character, and by chance almost never cp1252 text.
_UTF8_CHARACTER = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe2-\xef][\x80-\xbf]{2}")

ReportProgress = Callable[[Progress], None]


class TextFile(msgspec.Struct, frozen=True, kw_only=True):
    """UTF-8 text on disk without NUL, and how its records end.

    `records` counts the line ends outside double quotes, without blank lines at the end of the
    file; blank lines elsewhere count. It is exact where quotes are used as RFC 4180 has it, and
    is there to be compared with what a parser finds. `quoted_line_ends` says whether a cell may
    hold a line end.
    """

    path: Path
    encoding: str
    records: int
    quoted_line_ends: bool
    notes: tuple[str, ...]


class RecordScan:
    """Counts line ends outside double quotes, chunk by chunk, at about the speed of a copy."""

    def __init__(self) -> None:
        self._inside = False
        self._ends = 0
        self._ends_inside = 0
        self._held = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file, in order."""
        self._tail = (self._tail + chunk[-4096:])[-4096:]
        rest = self._held + chunk.translate(None, _ALL_BUT_QUOTES_AND_ENDS)
        # A carriage return at the end may be the first half of a line end: wait for the next chunk.
        self._held = b"\r" if rest.endswith(b"\r") else b""
        self._count(rest[: len(rest) - len(self._held)].replace(b'""', b""))

    def _count(self, rest: bytes) -> None:
        # Cut at the quotes, every second part is inside; joined by one, no two line ends meet.
        parts = rest.split(b'"')
        first, second = _line_ends(b'"'.join(parts[::2])), _line_ends(b'"'.join(parts[1::2]))
        outside, inside = (second, first) if self._inside else (first, second)
        self._ends += outside
        self._ends_inside += inside
        self._inside ^= len(parts) % 2 == 0

    def finish(self) -> tuple[int, bool]:
        """The number of records, and whether there are line ends inside quotes."""
        self._count(self._held)
        blank = self._tail[len(self._tail.rstrip(b"\r\n")) :]
        has_text = len(blank) < len(self._tail)
        return self._ends - _line_ends(blank) + has_text, self._ends_inside > 0 or self._inside


def prepare_text(
    file: Path, *, encoding: str | None, scratch: Path, limit: int, progress: ReportProgress
) -> TextFile:
    """Check that a file is text and give it as UTF-8; a copy in `scratch` only where it must change.

    `limit` bounds the bytes of an unpacked file. Raises FileUnreadable.
    """
    notes: list[str] = []
    if _begins_with(file, _GZIP):
        file = _unpack(file, scratch / "unpacked", limit, progress)
        notes.append("The file is gzip and was unpacked.")
    chosen = _named(encoding) if encoding else _marked(file)
    if chosen in (None, "utf-8"):
        try:
            scan = _check_utf8(file, progress)
            if _begins_with(file, codecs.BOM_UTF8):
                notes.append("The encoding is UTF-8, as its byte-order mark says.")
            return _text_file(file, "utf-8", scan, notes)
        except UnicodeDecodeError as error:
            if chosen == "utf-8":
                raise _undecodable(file, "UTF-8", error.start) from None
            broken_at = error.start
        _refuse_broken_utf8(file, broken_at)
        chosen = "cp1252"
        notes.append("The file is not UTF-8; it was read as cp1252 (Windows Western European).")
    else:
        notes.append(f"The file was read as {chosen}.")
    text = scratch / "text.csv"
    scan = _transcode(file, chosen, text, progress)
    return _text_file(text, chosen, scan, notes)


def _text_file(path: Path, encoding: str, scan: RecordScan, notes: list[str]) -> TextFile:
    records, quoted = scan.finish()
    return TextFile(
        path=path,
        encoding=encoding,
        records=records,
        quoted_line_ends=quoted,
        notes=tuple(notes),
    )


def _named(encoding: str) -> str:
    name = encoding.strip().lower().replace("_", "-")
    if name not in ENCODINGS:
        raise FileUnreadable(
            f"The encoding {encoding[:40]!r} is not known here.",
            next_step=f"Set one of {', '.join(sorted(ENCODINGS))}.",
        )
    return name


def _marked(file: Path) -> str | None:
    return "utf-16" if any(_begins_with(file, mark) for mark in _UTF16_MARKS) else None


def _begins_with(file: Path, mark: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(mark)) == mark


def _chunks(file: Path, stage: str, progress: ReportProgress) -> Iterator[bytes]:
    total = file.stat().st_size
    done = 0
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
            done += len(chunk)
            progress(Progress(stage=stage, done_bytes=done, total_bytes=total))


def _unpack(file: Path, into: Path, limit: int, progress: ReportProgress) -> Path:
    written = 0
    total = file.stat().st_size
    with file.open("rb") as packed, into.open("xb") as out:
        try:
            with gzip.GzipFile(fileobj=packed) as stream:
                while chunk := stream.read(_CHUNK):
                    written += len(chunk)
                    if written > limit:
                        raise FileUnreadable(
                            f"Unpacked, the file has more than {limit:,} bytes.",
                            next_step="Publish it in parts, or as Parquet.",
                        )
                    out.write(chunk)
                    progress(
                        Progress(stage="unpacking", done_bytes=packed.tell(), total_bytes=total)
                    )
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise FileUnreadable(
                "The gzip file is cut short or damaged.", next_step="Send it again."
            ) from None
    return into


def _check_utf8(file: Path, progress: ReportProgress) -> RecordScan:
    """Decode strictly and scan; `start` of a UnicodeDecodeError is the offset in the file."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    scan = RecordScan()
    offset = 0
    pending = 0
    for chunk in _chunks(file, "checking", progress):
        if pending or not chunk.isascii():
            _decode(decoder, chunk, offset - pending)
            pending = len(decoder.getstate()[0])
        _refuse_nul(file, chunk, offset)
        scan.feed(chunk)
        offset += len(chunk)
    _decode(decoder, b"", offset - pending, final=True)
    return scan


def _transcode(file: Path, encoding: str, into: Path, progress: ReportProgress) -> RecordScan:
    decoder = codecs.getincrementaldecoder(encoding)()
    scan = RecordScan()
    offset = 0
    with into.open("xb") as out:

        def put(text: str) -> None:
            if "\0" in text:
                raise _holds_nul(f"The text, read as {encoding}, holds NUL characters.")
            encoded = text.encode()
            scan.feed(encoded)
            out.write(encoded)

        try:
            for chunk in _chunks(file, "converting", progress):
                pending = len(decoder.getstate()[0])
                put(_decode(decoder, chunk, offset - pending))
                offset += len(chunk)
            pending = len(decoder.getstate()[0])
            put(_decode(decoder, b"", offset - pending, final=True))
        except UnicodeDecodeError as error:
            raise _undecodable(file, encoding, error.start) from None
        except UnicodeEncodeError:
            raise FileUnreadable(
                f"The text, read as {encoding}, is not valid Unicode.",
                next_step="Save the file as UTF-8.",
            ) from None
    return scan


def _decode(
    decoder: codecs.IncrementalDecoder, chunk: bytes, begins_at: int, *, final: bool = False
) -> str:
    try:
        return decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        error.start += begins_at
        raise


def _refuse_broken_utf8(file: Path, broken_at: int) -> None:
    """Raise where the file holds UTF-8 characters although it is not UTF-8 as a whole."""
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            if _UTF8_CHARACTER.search(chunk):
                raise FileUnreadable(
                    "The file is UTF-8 in some places and not in others; the first invalid byte "
                    f"is on line {_line_at(file, broken_at)}.",
                    next_step="Save it as UTF-8, or set the encoding if it is another.",
                )


def _refuse_nul(file: Path, chunk: bytes, offset: int) -> None:
    position = chunk.find(b"\0")
    if position >= 0:
        raise _holds_nul(
            f"Line {_line_at(file, offset + position)} holds a NUL byte, which text never has: "
            "this is a binary file, or UTF-16 without its byte-order mark."
        )


def _holds_nul(detail: str) -> FileUnreadable:
    return FileUnreadable(
        detail,
        next_step="Send CSV, Excel or Parquet; for UTF-16 set the encoding to utf-16-le or utf-16-be.",
    )


def _undecodable(file: Path, encoding: str, offset: int) -> FileUnreadable:
    return FileUnreadable(
        f"Line {_line_at(file, offset)} holds bytes that are not {encoding} text.",
        next_step="Save the file as UTF-8, or set the encoding it is in.",
    )


def _line_at(file: Path, offset: int) -> int:
    """The number of the line that holds the byte at `offset`; a lone CR ends a line too."""
    line = 1
    before = b""
    with file.open("rb", buffering=0) as stream:
        while offset > 0 and (chunk := stream.read(min(_CHUNK, offset))):
            offset -= len(chunk)
            chunk = before + chunk
            before = b"\r" if chunk.endswith(b"\r") and offset else b""
            chunk = chunk[: len(chunk) - len(before)]
            line += _line_ends(chunk)
    return line


def _line_ends(text: bytes) -> int:
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
