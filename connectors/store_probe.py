"""The trial that a store must pass before the service starts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from catalogue.errors import ObjectExists, ObjectMissing, StoreUnfit
from catalogue.object_store import ObjectStore

_ADVICE = "Use a store that honours `If-None-Match: *`, or a local folder."


def prove_create_only(store: ObjectStore) -> None:
    """Put, put again, read and list one small object, and delete it. Raises StoreUnfit.

    Some S3-compatible stores ignore the condition on a write. There, two publishers could overwrite
    each other and each be told that they had won, so such a store is refused at start-up.
    """
    key = f"probe/{uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="store-probe-") as name, _removed(store, key):
        folder = Path(name)
        first, second, back = folder / "first", folder / "second", folder / "back"
        first.write_bytes(b"first")
        second.write_bytes(b"second")
        store.put(key, first)
        _refuses_a_second_put(store, key, second)
        _gives_back(store, key, back)
    _forgets(store, key)


@contextmanager
def _removed(store: ObjectStore, key: str) -> Iterator[None]:
    try:
        yield
    finally:
        store.delete(key)


def _refuses_a_second_put(store: ObjectStore, key: str, path: Path) -> None:
    try:
        store.put(key, path)
    except ObjectExists:
        return
    raise StoreUnfit("The object store writes over an object that is there.", next_step=_ADVICE)


def _gives_back(store: ObjectStore, key: str, into: Path) -> None:
    store.fetch(key, into)
    if into.read_bytes() != b"first":
        raise StoreUnfit("The object store changed an object by a put that it refused.")
    if [found.key for found in store.list(key)] != [key]:
        raise StoreUnfit("The object store does not list an object that was just put.")


def _forgets(store: ObjectStore, key: str) -> None:
    try:
        store.stat(key)
    except ObjectMissing:
        return
    raise StoreUnfit("The object store still has an object that was just deleted.")
