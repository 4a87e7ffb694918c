"""Releases that were read before, kept in memory: a release never changes."""

from collections import OrderedDict
from threading import Lock

from sqlalchemy import Connection

from catalogue import release_records, releases
from catalogue.address import DatasetAddress
from catalogue.dataset import Release

_KEPT = 256


class ReleaseShelf:
    """Asks the database which release is the newest, and reads each release once.

    Use it outside transactions that publish: a release that is rolled back must not be shelved.
    Safe to share between threads.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._shelved: OrderedDict[tuple[DatasetAddress, int], Release] = OrderedDict()
        self._guard = Lock()

    def latest(self, connection: Connection, dataset: DatasetAddress) -> Release | None:
        """The newest release, if the dataset has one."""
        number = release_records.latest_number(connection, dataset)
        return self.read(connection, dataset, number) if number else None

    def read(self, connection: Connection, dataset: DatasetAddress, number: int) -> Release:
        """The release of that number. Raises UnknownRelease."""
        with self._guard:
            found = self._shelved.get((dataset, number))
            if found is not None:
                self._shelved.move_to_end((dataset, number))
                return found
        return self._shelve(releases.read(connection, dataset, number))

    def _shelve(self, release: Release) -> Release:
        with self._guard:
            self._shelved[release.dataset, release.number] = release
            while len(self._shelved) > self._kept:
                self._shelved.popitem(last=False)
        return release
