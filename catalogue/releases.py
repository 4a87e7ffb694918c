"""The publish protocol: an intent, files under it, one transaction, and the reading back.

    begin     the intent is committed before the first file is written
    upload    files go under the intent's own prefix and are read back and compared
    commit    one transaction checks the intent and the parent and makes the release visible

A crash leaves either nothing visible or everything. Two intents never share a key, so collecting
one cannot take another's file. Callers own the transactions: `begin` needs one of its own that
has committed before `upload`; `commit` shares one with the audit entry.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import ColumnElement

from catalogue import datasets, release_records
from catalogue.address import DatasetAddress
from catalogue.dataset import ColumnStatistics, DataFile, Release, ReleaseTable
from catalogue.errors import (
    CatalogueError,
    ContractBroken,
    IntentExpired,
    ObjectCorrupted,
    ObjectExists,
    ReleaseConflict,
    UnknownDataset,
    UnknownRelease,
)
from catalogue.manifest import check_whole, next_contract
from catalogue.object_store import ObjectStore
from catalogue.records import IntentState, contracts, intents, releases

PREFIX = "releases/"

# No database takes a larger one in the place of a release's number.
_LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A publish that has begun. `parent` is the release it builds on (0 where it is the first)."""

    id: str
    dataset: DatasetAddress
    parent: int
    number: int
    by: str
    expires_at: datetime

    @property
    def prefix(self) -> str:
        """Every file of this publish has a key under here, and no other publish's has."""
        return f"{PREFIX}{self.id}/"


def begin(
    connection: Connection,
    dataset: DatasetAddress,
    *,
    parent: int | None,
    by: str,
    now: datetime,
    lease: timedelta,
) -> Intent:
    """Write down that a release is being made; it must be committed within `lease`.

    `parent` None builds on the release that is the latest now. Raises ReleaseConflict where
    another number is no longer the latest, UnknownRelease where it never was. The dataset need
    not be registered yet: a first publish registers it in the transaction of `commit`.
    """
    newest = release_records.latest_number(connection, dataset)
    base = newest if parent is None else parent
    if base > newest:
        raise UnknownRelease(f"{dataset} has no release {base}; its latest is {newest}.")
    if base < newest:
        raise _conflict(dataset, newest)
    intent = Intent(
        id=uuid4().hex,
        dataset=dataset,
        parent=base,
        number=base + 1,
        by=by,
        expires_at=now + lease,
    )
    connection.execute(
        insert(intents).values(
            id=intent.id,
            organisation=dataset.organisation,
            dataset=dataset.dataset,
            parent=base,
            started_by=by,
            started_at=now,
            expires_at=intent.expires_at,
            state=IntentState.OPEN,
        )
    )
    return intent


def upload(
    store: ObjectStore,
    intent: Intent,
    path: Path,
    *,
    sha256: str,
    rows: int,
    columns: Sequence[ColumnStatistics] = (),
) -> DataFile:
    """Put a Parquet file under the intent, read it back and compare it with what was promised.

    `sha256` is the file's digest in hexadecimal. Repeating the call is safe: an object that an
    earlier try left is accepted if it is the same. Raises ObjectCorrupted where the bytes that
    come back are not those, and StoreUnavailable where the store does not answer; then nothing
    may be committed with this file.
    """
    file = DataFile(
        key=f"{intent.prefix}{sha256}.parquet",
        sha256=sha256,
        bytes=path.stat().st_size,
        rows=rows,
        columns=tuple(columns),
    )
    with contextlib.suppress(ObjectExists):
        store.put(file.key, path)
    _verify(store, file, beside=path)
    return file


def commit(
    connection: Connection,
    intent: Intent,
    tables: tuple[ReleaseTable, ...],
    *,
    notes: str,
    now: datetime,
) -> Release:
    """Make the release, all its tables and their contracts visible when the transaction commits.

    `tables` is the whole release (see `manifest.with_table`), every file of it either uploaded
    under this intent or carried over from the parent. Raises IntentExpired where the lease ended
    or the intent was abandoned, ReleaseConflict naming the release that won, UnknownDataset where
    the dataset was not registered, ContractBroken where a table or column of before is missing.
    After an error from the transaction's own COMMIT the outcome is unknown: see `outcome`.
    """
    _close_as_committed(connection, intent, now)
    newest = release_records.latest_number(connection, intent.dataset)
    if newest != intent.parent:
        raise _conflict(intent.dataset, newest)
    release = Release(
        dataset=intent.dataset,
        number=intent.number,
        tables=tables,
        published_at=now,
        published_by=intent.by,
        notes=notes,
    )
    _check(connection, intent, release)
    _take_number(connection, intent, release)
    _write_contracts(connection, release)
    release_records.write_manifest(connection, release)
    return release


def abandon(connection: Connection, intent_id: str) -> None:
    """End an intent so that it can never commit; no effect on one that has committed.

    Waits for a commit of this intent that is under way, so that afterwards `outcome` is final.
    """
    connection.execute(
        update(intents)
        .where(intents.c.id == intent_id, intents.c.state == IntentState.OPEN)
        .values(state=IntentState.ENDED)
    )


def outcome(connection: Connection, intent_id: str) -> Release | None:
    """The release that the intent became, if it did.

    After a COMMIT whose answer was lost, call `abandon` and then this in one transaction: None
    then means that the release does not exist and never will. Without `abandon`, None may only
    mean "not yet". Never delete a file on the strength of an error from a commit.
    """
    return _one(connection, releases.c.intent_id == intent_id)


def latest(connection: Connection, dataset: DatasetAddress) -> Release | None:
    """The newest release, if the dataset has one."""
    number = release_records.latest_number(connection, dataset)
    return read(connection, dataset, number) if number else None


def read(connection: Connection, dataset: DatasetAddress, number: int) -> Release:
    """The release of that number. Raises UnknownRelease."""
    wanted = release_records.of_dataset(releases, dataset) & (releases.c.number == number)
    release = _one(connection, wanted) if 0 < number <= _LARGEST_NUMBER else None
    if release is None:
        raise UnknownRelease(f"{dataset} has no release {number}.")
    return release


def history(connection: Connection, dataset: DatasetAddress) -> tuple[Release, ...]:
    """Every release of the dataset, newest first."""
    query = (
        select(releases)
        .where(release_records.of_dataset(releases, dataset))
        .order_by(releases.c.number.desc())
    )
    return release_records.load(connection, connection.execute(query).mappings().all())


def _verify(store: ObjectStore, file: DataFile, *, beside: Path) -> None:
    stored = store.stat(file.key).bytes
    with tempfile.TemporaryDirectory(dir=beside.parent, prefix="read-back-") as folder:
        copy = Path(folder, "copy")
        store.fetch(file.key, copy)
        with copy.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        same = stored == copy.stat().st_size == file.bytes and digest == file.sha256
    if not same:
        raise ObjectCorrupted(
            "The object store gave back other bytes than it was given.",
            next_step="Publish again; if it happens twice, check the object store.",
        )


def _close_as_committed(connection: Connection, intent: Intent, now: datetime) -> None:
    # One statement, so that the collector and `abandon` either come before it or wait for us.
    closed = connection.execute(
        update(intents)
        .where(
            intents.c.id == intent.id,
            intents.c.state == IntentState.OPEN,
            intents.c.expires_at > now,
        )
        .values(state=IntentState.COMMITTED)
    )
    if closed.rowcount != 1:
        raise IntentExpired(
            f"The publish of {intent.dataset} took longer than its lease, or was given up.",
            next_step="Publish again.",
        )


def _check(connection: Connection, intent: Intent, release: Release) -> None:
    if datasets.find(connection, intent.dataset) is None:
        raise UnknownDataset(f"{intent.dataset} is not registered.")
    parent = read(connection, intent.dataset, intent.parent) if intent.parent else None
    check_whole(intent.dataset, release.tables, parent)
    carried = {file for table in (parent.tables if parent else ()) for file in table.files}
    for file in (file for table in release.tables for file in table.files):
        if file not in carried and not file.key.startswith(intent.prefix):
            raise CatalogueError(f"A file of {intent.dataset} belongs to another publish.")


def _take_number(connection: Connection, intent: Intent, release: Release) -> None:
    row = {
        "organisation": release.dataset.organisation,
        "dataset": release.dataset.dataset,
        "number": release.number,
        "intent_id": intent.id,
        "published_at": release.published_at,
        "published_by": release.published_by,
        "notes": release.notes,
        "manifest_digest": release.manifest_digest,
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(releases).values(row))
    except IntegrityError:
        winner = release_records.latest_number(connection, release.dataset)
        raise _conflict(release.dataset, winner) from None


def _write_contracts(connection: Connection, release: Release) -> None:
    for table in release.tables:
        address = release.dataset.table(table.name)
        current = datasets.contract(connection, address)
        offered = (table.contract_version, table.schema)
        if offered == current:
            continue
        if offered != next_contract(current, table.schema):
            raise ContractBroken(f"{address} does not carry its contract's next version.")
        connection.execute(
            insert(contracts).values(
                organisation=address.organisation,
                dataset=address.dataset,
                table_name=address.name,
                version=table.contract_version,
                schema=msgspec.json.encode(table.schema).decode(),
            )
        )


def _one(connection: Connection, wanted: ColumnElement[bool]) -> Release | None:
    rows = connection.execute(select(releases).where(wanted)).mappings().all()
    return next(iter(release_records.load(connection, rows)), None)


def _conflict(dataset: DatasetAddress, winner: int) -> ReleaseConflict:
    return ReleaseConflict(
        f"Release {winner} of {dataset} was published first.",
        next_step=f"Read release {winner}, then publish on top of it.",
    )
