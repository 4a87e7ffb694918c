"""Journey 1 on one screen: a file in, a release out that nobody can change afterwards.

decided -> read and typed in a confined worker -> files stored under an intent and verified -> one
transaction makes the release, its rules and its audit entry -> told. A crash anywhere leaves either
nothing visible or everything.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import BoundedSemaphore

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from access_policies import history, revision, rules, standing
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.history import Kind
from access_policies.vocabulary import Action, Audience
from catalogue import datasets, releases
from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import (
    AccessRights,
    Classification,
    DataFile,
    Dataset,
    Handling,
    Release,
    ReleaseTable,
)
from catalogue.errors import Problem, ReleaseConflict, ReleaseUnchanged
from catalogue.manifest import Contract, under_contract, with_table
from catalogue.object_store import ObjectStore
from catalogue.releases import Intent
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.engine.ingest.ingest import Ingested, IngestOptions, Progress, ingest
from marketplace.engine.limits import Limits
from marketplace.engine.roles import Role
from marketplace.engine.spare import Spare
from marketplace.engine.written_file import WrittenFile
from marketplace.errors import ServiceBusy
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import renew

# How long a publisher may take from the first stored file to the commit.
_LEASE = timedelta(hours=6)

# How many seconds a publisher waits for a place before being told that the service is busy.
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDetails:
    """How a dataset is described at its first release; later releases leave it as it is.

    `visible_to` is the least trusted audience that may find the dataset and read its description.
    It opens no data. What `handling` says of a later release holds for the dataset from its commit
    on; where it says nothing, the dataset stays as it is marked.
    """

    title: str = ""
    description: str = ""
    licence: str = "DATA_SHARE_AGREEMENT"
    access_rights: AccessRights = AccessRights.INTERNAL
    classification: Classification = Classification.OFFICIAL
    official_sensitive: bool = False
    handling: Handling | None = None
    visible_to: Audience = Audience.GOVERNMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was committed, and in sentences what was inferred on the way."""

    release: Release
    table: ReleaseTable
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publish:
    """One publish on its way: what is to be released, by whom, on what was there before."""

    principal: Principal
    address: TableAddress
    details: DatasetDetails
    before: Release | None
    contract: Contract | None

    @property
    def dataset(self) -> DatasetAddress:
        return self.address.dataset_address

    @property
    def parent(self) -> int:
        return self.before.number if self.before else 0


class Publishing:
    """Turns a publisher's file into a committed release."""

    def __init__(
        self,
        *,
        database: Database,
        decision_point: DecisionPoint,
        store: ObjectStore,
        limits: Limits,
        scratch: Path,
        clock: Clock,
        at_once: int,
        on_released: Callable[[Release], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._decision_point = decision_point
        self._store = store
        self._limits = limits
        self._reader = Spare(Role.INGEST, limits, scratch=scratch)
        self._scratch = scratch
        self._clock = clock
        self._on_released = on_released
        # Each ingest may use all the memory of its limits, so only so many run at once.
        self._places = BoundedSemaphore(at_once)

    def expect(self, principal: Principal, address: TableAddress) -> None:
        """Make ready for a file that begins to come. Raises AccessDenied unless it may be published.

        The process that will read it starts meanwhile; one for all files that are on their way, so
        that who sends slowly holds no more than that.
        """
        self._check(principal, address)
        self._reader.start()

    def close(self) -> None:
        """Stop the process that waits for a file."""
        self._reader.close()

    def _check(self, principal: Principal, address: TableAddress) -> None:
        dataset = address.dataset_address
        with self._database.writing() as connection:
            decision = self._decide(connection, principal, dataset)
            if not decision.allowed:
                _record_publish_refused(
                    connection, principal, address, "AccessDenied", self._clock()
                )
        enforcement.require(
            decision,
            next_step=f"A publisher of {dataset.organisation} can publish it; its operator gives "
            "out that role.",
        )

    def publish(
        self,
        principal: Principal,
        file: Path,
        name: str,
        address: TableAddress,
        *,
        details: DatasetDetails,
        parent: int | None = None,
        options: IngestOptions | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Published:
        """Commit the file as the next release of its dataset.

        `name` is what the publisher calls the file; `parent` is the release they build on, where
        they want to be refused if another came between. Raises AccessDenied, FileUnreadable,
        ContractBroken, ReleaseConflict, ReleaseUnchanged for a file that the newest release holds,
        ServiceBusy.
        """
        publish = self._begin(principal, address, details, parent)
        with (
            self._place(),
            tempfile.TemporaryDirectory(dir=self._scratch, prefix="publish-") as folder,
        ):
            try:
                ingested = ingest(
                    file,
                    name=name,
                    into=Path(folder),
                    contract=publish.contract[1] if publish.contract else None,
                    options=options or IngestOptions(),
                    limits=self._limits,
                    progress=progress,
                    spare=self._reader,
                )
                _refuse_the_same_again(publish, ingested)
                release = self._store_and_commit(publish, ingested)
            except Problem as problem:
                self._record_refusal(publish, problem)
                raise
        self._on_released(release)
        table = next(table for table in release.tables if table.name == address.name)
        return Published(release=release, table=table, notes=ingested.notes)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=_PATIENCE):
            raise ServiceBusy(
                "As many files as the service reads at once are being read.",
                next_step="Publish the file again in a few minutes.",
            )
        try:
            yield
        finally:
            self._places.release()

    def _begin(
        self,
        principal: Principal,
        address: TableAddress,
        details: DatasetDetails,
        parent: int | None,
    ) -> _Publish:
        details.classification.check_taken()
        self._check(principal, address)
        dataset = address.dataset_address
        with self._database.reading() as connection:
            before = releases.latest(connection, dataset)
            contract = datasets.contract(connection, address)
        publish = _Publish(
            principal=principal, address=address, details=details, before=before, contract=contract
        )
        if parent is not None and parent != publish.parent:
            raise ReleaseConflict(
                f"{dataset} stands at release {publish.parent}, not {parent}.",
                next_step="Look at the newest release, then publish on top of it.",
            )
        return publish

    def _store_and_commit(self, publish: _Publish, ingested: Ingested) -> Release:
        intent = self._intend(publish)
        try:
            table = under_contract(
                publish.contract,
                name=publish.address.name,
                schema=ingested.schema,
                files=[self._upload(intent, file) for file in ingested.files],
            )
            return self._commit(publish, intent, table)
        except SQLAlchemyError:
            committed = self._settle(intent)
            if committed is None:
                raise
            return committed
        except Problem:
            with self._database.writing() as connection:
                releases.abandon(connection, intent.id)
            raise

    def _settle(self, intent: Intent) -> Release | None:
        """What became of a commit whose answer was lost; after this it can no longer happen."""
        with self._database.writing() as connection:
            releases.abandon(connection, intent.id)
            return releases.outcome(connection, intent.id)

    def _intend(self, publish: _Publish) -> Intent:
        with self._database.writing() as connection:
            return releases.begin(
                connection,
                publish.dataset,
                parent=publish.parent,
                by=publish.principal.person_id,
                now=self._clock(),
                lease=_LEASE,
            )

    def _upload(self, intent: Intent, file: WrittenFile) -> DataFile:
        return releases.upload(
            self._store,
            intent,
            file.path,
            sha256=file.sha256,
            rows=file.rows,
            columns=file.columns,
        )

    def _commit(self, publish: _Publish, intent: Intent, table: ReleaseTable) -> Release:
        """Make the release visible together with its rules and its audit entry, or not at all."""
        now = self._clock()
        with self._database.writing() as connection:
            # A read may give the newest release that it found under a revision. And before the
            # decision shares the lock: two publishers would wait for each other.
            revision.advance(connection)
            first = datasets.find(connection, publish.dataset) is None
            enforcement.require(
                self._decide(connection, publish.principal, publish.dataset),
                next_step="Your role ended while the file was read.",
            )
            if first:
                _register(connection, publish, now)
            elif publish.details.handling is not None:
                before = datasets.handling(connection, publish.dataset).value
                history.note(connection, Kind.HANDLING, {str(publish.dataset): before})
                datasets.set_handling(connection, publish.dataset, publish.details.handling)
            tables = with_table(publish.before, table)
            release = releases.commit(connection, intent, tables, notes="", now=now)
            entry = Entry(
                kind=EntryKind.RELEASE_PUBLISHED,
                facts={
                    "dataset": str(publish.dataset),
                    "release": release.number,
                    "manifest": release.manifest_digest,
                    "table": table.name,
                    "rows": table.rows,
                    "handling": datasets.handling(connection, publish.dataset).value,
                },
                person={"person": publish.principal.person_id},
            )
            record(connection, entry, now=now)
        return release

    def _decide(
        self, connection: Connection, principal: Principal, dataset: DatasetAddress
    ) -> Decision:
        # Before the caller is looked at, so that nothing about them changes any more.
        revision.lock_shared(connection)
        now = self._clock()
        principal = renew(connection, principal, now=now)
        return enforcement.decide(
            connection, self._decision_point, principal, Action.PUBLISH, str(dataset), now=now
        )

    def _record_refusal(self, publish: _Publish, problem: Problem) -> None:
        with self._database.writing() as connection:
            _record_publish_refused(
                connection,
                publish.principal,
                publish.address,
                type(problem).__name__,
                self._clock(),
            )


def _record_publish_refused(
    connection: Connection,
    principal: Principal,
    address: TableAddress,
    refused_as: str,
    now: datetime,
) -> None:
    entry = Entry(
        kind=EntryKind.PUBLISH_REFUSED,
        facts={"table": str(address), "refused_as": refused_as},
        person={"person": principal.person_id},
    )
    record(connection, entry, now=now)


def _register(connection: Connection, publish: _Publish, now: datetime) -> None:
    """Enter a dataset at its first release, and let its audience know that it exists.

    The caller has advanced the policy revision.
    """
    details = publish.details
    dataset = Dataset(
        address=publish.dataset,
        title=details.title or publish.dataset.dataset.replace("_", " ").capitalize(),
        description=details.description,
        licence=details.licence,
        access_rights=details.access_rights,
        official_sensitive=details.official_sensitive,
        handling=details.handling or Handling.NONE,
        created_at=now,
    )
    datasets.register(connection, dataset)
    for rule in standing.listing_rules(str(publish.dataset), details.visible_to):
        rules.write(connection, rule)
    entry = Entry(
        kind=EntryKind.DATASET_REGISTERED,
        facts={
            "dataset": str(publish.dataset),
            "title": dataset.title,
            "visible_to": details.visible_to.name.lower(),
        },
        person={"person": publish.principal.person_id},
    )
    record(connection, entry, now=now)


def _refuse_the_same_again(publish: _Publish, ingested: Ingested) -> None:
    """A file whose content the newest release already holds makes no new release.

    It also tells a publisher whose first try lost its answer that it had been committed.
    """
    current = publish.before.table(publish.address.name) if publish.before else None
    if current is None:
        return
    if [file.sha256 for file in current.files] == [file.sha256 for file in ingested.files]:
        raise ReleaseUnchanged(
            f"Release {publish.parent} of {publish.dataset} already holds exactly this file.",
            next_step="Nothing needs to be done.",
        )
