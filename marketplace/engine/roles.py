"""What a confined process can be, and the messages that set it up."""

from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from marketplace.engine.frames import Output
from marketplace.engine.limits import Limits


class Role(StrEnum):
    """The work of one process; it does no other for as long as it lives."""

    PARSE = "parse"
    QUERY = "query"
    EXTRACT = "extract"
    INGEST = "ingest"


# Each module has `open_worker(limits, scratch) -> Worker`. It is imported before confinement, with
# all that it needs: afterwards not even Python's own library can be read.
MODULES = {
    Role.PARSE: "marketplace.engine.query.parsing",
    Role.QUERY: "marketplace.engine.query.querying",
    Role.EXTRACT: "marketplace.engine.extract.extracting",
    Role.INGEST: "marketplace.engine.ingest.ingesting",
}


class Worker(Protocol):
    """The confined side of a role."""

    def perform(self, request: bytes, output: Output) -> msgspec.Struct:
        """Do what the request asks; bytes and notes go to `output`, the return value ends it.

        Problems of the kinds that `frames` knows are told to the parent as they are.
        """
        ...

    def fit(self) -> bool:
        """Whether the process may take another request; asked after each one."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A worker that can be told, from another thread, to end the request that it performs."""

    def interrupt(self) -> None:
        """Let the request fail soon; it may already have ended."""
        ...


class Confine(msgspec.Struct, frozen=True, kw_only=True):
    """The first request: what the process keeps. `scratch` is its own folder, writable."""

    limits: Limits
    scratch: str
    read: tuple[str, ...]
    write: tuple[str, ...]

    @property
    def read_paths(self) -> tuple[Path, ...]:
        """What may be read."""
        return tuple(map(Path, self.read))

    @property
    def write_paths(self) -> tuple[Path, ...]:
        """What may be written, the scratch folder included."""
        return (Path(self.scratch), *map(Path, self.write))
