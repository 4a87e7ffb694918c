"""`organisation.dataset.table`: the one name of a table at every exit, and the one parser of it."""

import re
import unicodedata
from dataclasses import dataclass

from catalogue.errors import InvalidAddress

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")

# Names that mean something else inside the query engine (its own catalogues and schemas), or at
# an exit that puts its own schema beside the organisations.
RESERVED_NAMES = frozenset({"main", "temp", "system", "memory", "information_schema", "pg_catalog"})

_FORM = "Write organisation.dataset or organisation.dataset.table, each in a-z, 0-9 and _."


def check_identifier(text: str) -> str:
    """Return `text` if it can be one part of an address. Raises InvalidAddress."""
    if not _IDENTIFIER.fullmatch(text):
        raise InvalidAddress(
            f"{text[:80]!r} cannot be part of an address: it begins with a letter and has only "
            "lower-case letters, digits and underscores, 63 at most.",
            next_step=_FORM,
        )
    if text in RESERVED_NAMES:
        raise InvalidAddress(
            f"{text!r} is a name that the query engine keeps for itself.",
            next_step="Choose another name.",
        )
    return text


def identifier_from(title: str) -> str:
    """Make a legal identifier of a title, the same one every time.

    >>> identifier_from("Leeds City Council")
    'leeds_city_council'
    >>> identifier_from("2011-03 payments")
    'n_2011_03_payments'
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "unnamed"
    name = words if words[0].isalpha() else f"n_{words}"
    name = name[:63].rstrip("_")
    return f"{name}_" if name in RESERVED_NAMES else name


@dataclass(frozen=True, slots=True, order=True)
class DatasetAddress:
    """`organisation.dataset`. Raises InvalidAddress where a part is not an identifier."""

    organisation: str
    dataset: str

    def __post_init__(self) -> None:
        check_identifier(self.organisation)
        check_identifier(self.dataset)

    def __str__(self) -> str:
        return f"{self.organisation}.{self.dataset}"

    def table(self, name: str) -> "TableAddress":
        """The address of one of the dataset's tables."""
        return TableAddress(self.organisation, self.dataset, name)

    @classmethod
    def parse(cls, text: str) -> "DatasetAddress":
        """Read `organisation.dataset`. Raises InvalidAddress."""
        parts = text.split(".")
        if len(parts) != 2:
            raise InvalidAddress(
                f"{text[:200]!r} is not the address of a dataset.", next_step=_FORM
            )
        return cls(*parts)


@dataclass(frozen=True, slots=True, order=True)
class TableAddress:
    """`organisation.dataset.table`. Raises InvalidAddress where a part is not an identifier."""

    organisation: str
    dataset: str
    name: str

    def __post_init__(self) -> None:
        check_identifier(self.organisation)
        check_identifier(self.dataset)
        check_identifier(self.name)

    def __str__(self) -> str:
        return f"{self.organisation}.{self.dataset}.{self.name}"

    @property
    def dataset_address(self) -> DatasetAddress:
        """The dataset that the table belongs to."""
        return DatasetAddress(self.organisation, self.dataset)

    @classmethod
    def parse(cls, text: str) -> "TableAddress":
        """Read `organisation.dataset.table`; of `organisation.dataset` the table has the same name.

        >>> str(TableAddress.parse("mhclg.temporary_accommodation"))
        'mhclg.temporary_accommodation.temporary_accommodation'
        """
        parts = text.split(".")
        if len(parts) == 2:
            return cls(parts[0], parts[1], parts[1])
        if len(parts) != 3:
            raise InvalidAddress(f"{text[:200]!r} is not the address of a table.", next_step=_FORM)
        return cls(*parts)
