"""What a caller may know of: finding datasets and reading their descriptions."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import revision
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.scope import KeyedHash, TableScope
from access_policies.vocabulary import Action
from catalogue import datasets, releases
from catalogue.address import DatasetAddress, TableAddress
from catalogue.dataset import Dataset, Release, ReleaseTable
from catalogue.errors import UnknownDataset
from catalogue.release_shelf import ReleaseShelf
from catalogue.table_schema import Column
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AccessDenied
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import renew


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """A dataset as one caller sees it; `readable` and `reason` answer whether a query would work.

    `agreed` is what such a query has of each table that it may read, and `schema_shown` says whether
    the caller may see how the tables look.
    """

    dataset: Dataset
    release: Release
    readable: bool
    reason: str
    schema_shown: bool
    agreed: tuple[TableScope, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """A table of a dataset's newest release with the columns that a query of the caller has there.

    Where the caller may know of the table and not query it, these are all columns of its contract.
    """

    address: TableAddress
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """A caller as they stand in one transaction, which holds the policy revision."""

    connection: Connection
    revision: int
    now: datetime
    principal: Principal


class Discovery:
    """Search and descriptions, filtered by the same decision point as the data itself."""

    def __init__(self, *, database: Database, decision_point: DecisionPoint, clock: Clock) -> None:
        self._database = database
        self._decision_point = decision_point
        self._clock = clock
        self._shelf = ReleaseShelf()

    def search(self, principal: Principal, words: str = "") -> tuple[Dataset, ...]:
        """The datasets that the caller may know of whose texts hold every word; one audit entry."""
        with self._call(principal) as call:
            visible = self._visible(call)
            found = tuple(dataset for dataset in visible if _mentions(dataset, words))
            self._record(call, words, len(found))
        return found

    def dataset(self, principal: Principal, address: DatasetAddress) -> DatasetView:
        """One dataset's description and newest release.

        Raises UnknownDataset, also where the caller may not know of it.
        """
        with self._call(principal) as call:
            described = datasets.find(call.connection, address)
            release = releases.latest(call.connection, address)
            query = self._ask(call, Action.QUERY, address)
            schema = self._ask(call, Action.READ_SCHEMA, address)
            about = self._ask(call, Action.READ_METADATA, address)
            allowed = query.allowed or about.allowed
            found = described is not None and release is not None and allowed
            self._record(call, str(address), int(found))
        if described is None or release is None or not allowed:
            raise unknown(str(address))
        scopes = (_scope(query, table) for table in release.tables)
        return DatasetView(
            dataset=described,
            release=release,
            readable=query.allowed,
            reason=query.reason,
            schema_shown=query.allowed or schema.allowed,
            agreed=tuple(scope for scope in scopes if scope is not None),
        )

    def known(
        self, principal: Principal, wanted: Callable[[DatasetAddress], bool]
    ) -> tuple[DatasetAddress, ...]:
        """The addresses that are wanted and that the caller may know of, in order; one audit entry."""
        with self._call(principal) as call:
            visible = self._visible(call, wanted)
            self._record(call, "datasets by name", len(visible))
        return tuple(sorted(dataset.address for dataset in visible))

    def tables(
        self, principal: Principal, wanted: Callable[[DatasetAddress], bool]
    ) -> tuple[TableView, ...]:
        """The tables of wanted datasets that the caller may know of, in order; one audit entry."""
        with self._call(principal) as call:
            found = self._tables(call, wanted)
            self._record(call, "tables by name", len(found))
        return tuple(sorted(found, key=lambda view: view.address))

    def release(self, principal: Principal, address: DatasetAddress, number: int) -> Release:
        """One release, with its tables, of a dataset whose columns the caller may see.

        Raises UnknownDataset, UnknownRelease, AccessDenied.
        """
        _check_schema(self.dataset(principal, address))
        with self._database.reading() as connection:
            return releases.read(connection, address, number)

    def releases(self, principal: Principal, address: DatasetAddress) -> tuple[Release, ...]:
        """The releases, newest first, of a dataset whose columns the caller may see.

        Raises UnknownDataset, AccessDenied.
        """
        _check_schema(self.dataset(principal, address))
        with self._database.reading() as connection:
            return releases.history(connection, address)

    @contextmanager
    def _call(self, principal: Principal) -> Iterator[_Call]:
        with self._database.writing() as connection:
            # Before the caller is looked at, so that nothing about them changes any more.
            held = revision.lock_shared(connection)
            now = self._clock()
            principal = renew(connection, principal, now=now)
            yield _Call(connection=connection, revision=held, now=now, principal=principal)

    def _visible(
        self, call: _Call, wanted: Callable[[DatasetAddress], bool] = lambda _: True
    ) -> tuple[Dataset, ...]:
        asked = [one for one in datasets.list_all(call.connection) if wanted(one.address)]
        addresses = [dataset.address for dataset in asked]
        known = self._permitted(call, Action.DISCOVER, addresses)
        known |= self._permitted(call, Action.QUERY, addresses)
        return tuple(dataset for dataset in asked if dataset.address in known)

    def _tables(self, call: _Call, wanted: Callable[[DatasetAddress], bool]) -> list[TableView]:
        every = (dataset.address for dataset in datasets.list_all(call.connection))
        asked = [address for address in every if wanted(address)]
        readable = self._permitted(call, Action.QUERY, asked)
        listed = self._permitted(call, Action.READ_SCHEMA, asked)
        return [
            view
            for address in sorted(readable | listed)
            for view in self._tables_of(call, address, listed=address in listed)
        ]

    def _tables_of(
        self, call: _Call, address: DatasetAddress, *, listed: bool
    ) -> Iterator[TableView]:
        release = self._shelf.latest(call.connection, address)
        if release is None:
            return
        query = self._ask(call, Action.QUERY, address)
        for table in release.tables:
            columns = _columns(query, table)
            if columns is None and listed:
                columns = table.schema.columns
            if columns is not None:
                yield TableView(address=address.table(table.name), columns=columns)

    def _ask(self, call: _Call, action: Action, address: DatasetAddress) -> Decision:
        return enforcement.decide(
            call.connection,
            self._decision_point,
            call.principal,
            action,
            str(address),
            now=call.now,
            under=call.revision,
        )

    def _permitted(
        self, call: _Call, action: Action, addresses: Collection[DatasetAddress]
    ) -> set[DatasetAddress]:
        named = {str(address): address for address in addresses}
        allowed = enforcement.permitted(
            call.connection, self._decision_point, call.principal, action, named, now=call.now
        )
        return {named[name] for name in allowed}

    def _record(self, call: _Call, words: str, found: int) -> None:
        entry = Entry(
            kind=EntryKind.CATALOGUE_READ,
            facts={"found": found, "project": call.principal.project or ""},
            person={"person": call.principal.person_id, "words": words},
        )
        record(call.connection, entry, now=call.now)


def _check_schema(view: DatasetView) -> None:
    if not view.schema_shown:
        address = view.dataset.address
        raise AccessDenied(
            f"You may read about {address}, and not see its tables and columns.",
            next_step=f"What stands in the way: marketplace why {address} --action "
            "dataset:read_schema.",
        )


def unknown(name: str) -> UnknownDataset:
    """The one answer for what is not there and for what the caller may not know of."""
    return UnknownDataset(
        f"There is no dataset or table {name[:200]!r} that you can see.",
        next_step="List what there is with: marketplace datasets. "
        "A table is named organisation.dataset or organisation.dataset.table.",
    )


def _columns(query: Decision, table: ReleaseTable) -> tuple[Column, ...] | None:
    """The columns that a query has of a table, with their types there; None where it has none."""
    scope = _scope(query, table)
    if scope is None:
        return None
    named = {column.name: column for column in table.schema.columns}
    return tuple(shown_under(scope, named[name]) for name in scope.columns)


def _scope(query: Decision, table: ReleaseTable) -> TableScope | None:
    if not query.allowed:
        return None
    try:
        return enforcement.scope_of(query, table)
    except AccessDenied:
        return None


def shown_under(scope: TableScope, column: Column) -> Column:
    """The column with the type that its values have as they are agreed: only hashes have another."""
    if isinstance(scope.mask(column.name), KeyedHash):
        return msgspec.structs.replace(column, type="VARCHAR")
    return column


def _mentions(dataset: Dataset, words: str) -> bool:
    text = f"{dataset.address} {dataset.title} {dataset.description}".casefold()
    return all(word in text for word in words.casefold().split())
