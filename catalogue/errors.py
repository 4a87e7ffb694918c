"""The root of every error a person can be shown, and the catalogue's own branch.

    Problem                         what went wrong, why, and what to do next
    ├── CatalogueError
    │   ├── InvalidAddress          not organisation.dataset.table
    │   ├── UnknownDataset          no such dataset, or none the caller may know of
    │   ├── DatasetExists           the address is taken, with other details
    │   ├── UnknownRelease
    │   ├── UnknownPlace            no council, region or area of that name or code
    │   ├── ReleaseConflict         another publisher was first
    │   ├── ReleaseUnchanged        the newest release holds exactly this file
    │   ├── IntentExpired           the publish took longer than its lease
    │   ├── AboveOfficial           data classified higher than the marketplace takes
    │   ├── ContractBroken          a release does not keep the dataset's contract
    │   ├── InvalidKey              not a key that an object can be stored under
    │   ├── ObjectMissing
    │   ├── ObjectExists            a store key is written once
    │   ├── ObjectCorrupted         bytes differ from what the manifest promised
    │   └── StoreUnfit              the store cannot keep the promises a publish needs
    ├── ConnectorError              (connectors/errors.py)
    └── MarketplaceError            (marketplace/errors.py, with the table to HTTP and exit codes)

Access policies stand alone, so `access_policies.errors.PolicyError` has the same two fields without
being a `Problem`; the table in `marketplace/errors.py` knows it.
"""

from collections.abc import Sequence


class Problem(Exception):
    """Something a person can be told: `detail` says what and why, `next_step` what to do.

    Neither may hold a value that the reader is not entitled to see. `lines` lists findings, one
    sentence each, where a file or a request has several faults.
    """

    def __init__(self, detail: str, *, next_step: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.next_step = next_step
        self.lines = tuple(lines)


class CatalogueError(Problem):
    """A fault in what exists or in how it is kept."""


class InvalidAddress(CatalogueError):
    """The text is not an address of the form organisation.dataset.table."""


class UnknownDataset(CatalogueError):
    """No such dataset, or none that the caller may know of; the two are not told apart."""


class DatasetExists(CatalogueError):
    """The address belongs to a dataset that was registered with other details."""


class AboveOfficial(CatalogueError):
    """The data is classified SECRET or TOP SECRET, and does not belong here."""


class UnknownRelease(CatalogueError):
    """The dataset has no release of that number."""


class UnknownPlace(CatalogueError):
    """No place has that name or code."""


class ReleaseConflict(CatalogueError):
    """Another publisher committed a release first; read it, then publish again."""


class ReleaseUnchanged(CatalogueError):
    """The newest release already holds exactly this file, so there is nothing to release."""


class IntentExpired(CatalogueError):
    """The intent to publish is gone: its lease ended or it was abandoned."""


class ContractBroken(CatalogueError):
    """A file does not keep the contract of its dataset; `lines` say where."""


class InvalidKey(CatalogueError):
    """The text is not a key of the kind that the service makes for its objects."""


class ObjectMissing(CatalogueError):
    """The object store has no object under that key."""


class ObjectExists(CatalogueError):
    """The object store already holds an object under that key."""


class ObjectCorrupted(CatalogueError):
    """Bytes read from the store are not those that the manifest names."""


class StoreUnfit(CatalogueError):
    """The object store does not keep a promise that publishing relies on."""
