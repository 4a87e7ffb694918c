"""What the catalogue asks of a place where files rest. `connectors` has the implementations."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object as a listing shows it. `modified_at` is the store's own time, in UTC."""

    key: str
    bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """Immutable objects under keys that the service makes itself (never from a user's words).

    Durable when `put` returns. Every method raises `StoreUnavailable` where the store does not
    answer; after that from `put` or `delete` the outcome is unknown and must be read back.
    """

    def put(self, key: str, path: Path) -> None:
        """Create the object from a file. Raises ObjectExists if the key is taken."""

    def fetch(self, key: str, into: Path) -> None:
        """Copy the object to a new file at `into`. Raises ObjectMissing."""

    def stat(self, key: str) -> StoredObject:
        """Describe one object. Raises ObjectMissing."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in key order."""

    def delete(self, key: str) -> None:
        """Remove the object; no error where it is already gone."""

    def probe(self) -> None:
        """Prove at start-up that a second `put` of a key is refused. Raises StoreUnfit."""
