"""What a caller may know of: finding datasets and reading their descriptions."""

from dataclasses import dataclass

from sqlalchemy import Connection

from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action
from catalogue import datasets, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import Dataset, Release
from catalogue.errors import UnknownDataset
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import renew


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """A dataset as one caller sees it; `readable` and `reason` answer whether a query would work."""

    dataset: Dataset
    release: Release
    readable: bool
    reason: str


class Discovery:
    """Search and descriptions, filtered by the same decision point as the data itself."""

    def __init__(self, *, database: Database, decision_point: DecisionPoint, clock: Clock) -> None:
        self._database = database
        self._decision_point = decision_point
        self._clock = clock

    def search(self, principal: Principal, words: str = "") -> tuple[Dataset, ...]:
        """The datasets that the caller may know of whose texts hold every word; one audit entry."""
        with self._database.writing() as connection:
            principal = renew(connection, principal, now=self._clock())
            visible = self._visible(connection, principal)
            found = tuple(dataset for dataset in visible if _mentions(dataset, words))
            self._record(connection, principal, words, len(found))
        return found

    def dataset(self, principal: Principal, address: DatasetAddress) -> DatasetView:
        """One dataset's description and newest release.

        Raises UnknownDataset, also where the caller may not know of it.
        """
        with self._database.writing() as connection:
            principal = renew(connection, principal, now=self._clock())
            described = datasets.find(connection, address)
            release = releases.latest(connection, address)
            query = self._ask(connection, principal, Action.QUERY, address)
            allowed = (
                query.allowed
                or self._ask(connection, principal, Action.READ_METADATA, address).allowed
            )
            found = described is not None and release is not None and allowed
            self._record(connection, principal, str(address), int(found))
        if described is None or release is None or not allowed:
            raise unknown(str(address))
        return DatasetView(
            dataset=described, release=release, readable=query.allowed, reason=query.reason
        )

    def release(self, principal: Principal, address: DatasetAddress, number: int) -> Release:
        """One release of a dataset that the caller may know of. Raises UnknownRelease."""
        self.dataset(principal, address)
        with self._database.reading() as connection:
            return releases.read(connection, address, number)

    def releases(self, principal: Principal, address: DatasetAddress) -> tuple[Release, ...]:
        """The releases, newest first, of a dataset that the caller may know of."""
        self.dataset(principal, address)
        with self._database.reading() as connection:
            return releases.history(connection, address)

    def _visible(self, connection: Connection, principal: Principal) -> tuple[Dataset, ...]:
        known = {str(dataset.address): dataset for dataset in datasets.list_all(connection)}
        return tuple(
            dataset
            for address, dataset in known.items()
            if self._ask(connection, principal, Action.DISCOVER, dataset.address).allowed
            or self._ask(connection, principal, Action.QUERY, dataset.address).allowed
        )

    def _ask(
        self,
        connection: Connection,
        principal: Principal,
        action: Action,
        address: DatasetAddress,
    ) -> Decision:
        return enforcement.decide(
            connection, self._decision_point, principal, action, str(address), now=self._clock()
        )

    def _record(self, connection: Connection, principal: Principal, words: str, found: int) -> None:
        entry = Entry(
            kind=EntryKind.CATALOGUE_READ,
            facts={"found": found, "project": principal.project or ""},
            person={"person": principal.person_id, "words": words},
        )
        record(connection, entry, now=self._clock())


def unknown(name: str) -> UnknownDataset:
    """The one answer for what is not there and for what the caller may not know of."""
    return UnknownDataset(
        f"There is no dataset or table {name[:200]!r} that you can see.",
        next_step="List what there is with: marketplace datasets. "
        "A table is named organisation.dataset or organisation.dataset.table.",
    )


def _mentions(dataset: Dataset, words: str) -> bool:
    text = f"{dataset.address} {dataset.title} {dataset.description}".casefold()
    return all(word in text for word in words.casefold().split())
