"""The registered datasets, to find those that a rule's text covers."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection

from access_policies import rules
from catalogue import datasets


class Directory:
    """Datasets by `organisation.dataset`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._wide: defaultdict[str, set[str]] = defaultdict(set)
        for name in self._names:
            self._wide[rules.organisation_wide(name)].add(name)

    @classmethod
    def read(cls, connection: Connection) -> "Directory":
        """All that there are."""
        return cls(datasets.names(connection))

    def covered(self, texts: Iterable[str]) -> set[str]:
        """The datasets on which rules with these texts (a dataset, `organisation.*`, `*`) bear."""
        found: set[str] = set()
        for text in texts:
            if text == rules.ANY:
                return set(self._names)
            found |= {text} if text in self._names else self._wide.get(text, set())
        return found
