"""The tree built again from its leaves and held against the stored nodes, in bounded memory.

A node that is wrong is either the damage itself or the first place where damage beneath it shows.
Which of the two is decided one level up: where the parent is right, the node itself was changed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from marketplace.audit.tree import EMPTY_ROOT, fold, node_hash

_MOST_SUSPECTS = 100


class Span(NamedTuple):
    """A complete subtree by level and number, for telling people which positions it covers."""

    level: int
    number: int

    def __str__(self) -> str:
        first = self.number << self.level
        return f"positions {first} to {first + (1 << self.level) - 1}"


class _Peak(NamedTuple):
    # The root as the leaves give it; None where a leaf is missing and no stored node stands in.
    hash: bytes | None
    suspects: tuple[Span, ...]


class Rebuild:
    """Appends leaf hashes and gathers what the stored nodes contradict."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[_Peak] = []

    def append(self, leaf: bytes | None, stored: Mapping[tuple[int, int], bytes]) -> list[str]:
        """Add a leaf (None for one that is gone); returns what is now certain, in sentences.

        `stored` has the nodes that this leaf completes, as the database keeps them.
        """
        findings: list[str] = []
        edge, level, number = _Peak(leaf, ()), 0, self.size
        while number & 1:
            level, number = level + 1, number >> 1
            edge = self._merge(self._peaks.pop(), edge, Span(level, number), stored, findings)
        self._peaks.append(edge)
        self.size += 1
        return findings

    def root(self) -> bytes | None:
        """The root of all leaves so far; None where a missing leaf leaves it unknown."""
        hashes = [peak.hash for peak in self._peaks]
        known = [digest for digest in hashes if digest is not None]
        if len(known) < len(hashes):
            return None
        return fold(known) if known else EMPTY_ROOT

    def root_with(self, leaf: bytes) -> bytes | None:
        """The root if `leaf` were the next one."""
        trial = Rebuild()
        trial.size, trial._peaks = self.size, list(self._peaks)
        trial.append(leaf, {})
        return trial.root()

    def suspects(self) -> tuple[Span, ...]:
        """Subtrees that do not follow from their leaves and that no right parent explains."""
        return tuple(span for peak in self._peaks for span in peak.suspects)

    def _merge(
        self,
        left: _Peak,
        right: _Peak,
        span: Span,
        stored: Mapping[tuple[int, int], bytes],
        findings: list[str],
    ) -> _Peak:
        suspects = (left.suspects + right.suspects)[:_MOST_SUSPECTS]
        kept = stored.get(span)
        if left.hash is None or right.hash is None:
            return _Peak(kept, suspects)
        computed = node_hash(left.hash, right.hash)
        if kept is None:
            findings.append(f"The stored tree node of level {span.level} over {span} is missing.")
        elif kept == computed:
            findings.extend(changed_node(suspect) for suspect in suspects)
            suspects = ()
        elif not suspects:
            suspects = (span,)
        return _Peak(computed, suspects)


def changed_node(span: Span) -> str:
    """The sentence for a stored node that is wrong while all around it is right."""
    return (
        f"The stored tree node of level {span.level} over {span} was changed; "
        "the entries beneath it are as they were."
    )
