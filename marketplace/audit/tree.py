"""The Merkle tree of RFC 6962 over SHA-256: append, prove, check. Pure; hashes come from the caller.

A complete subtree is known by its level (0 is a leaf, level 3 spans eight leaves) and its number
from the left. Complete subtrees never change, so they are what is stored and what proofs read.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

EMPTY_ROOT = hashlib.sha256(b"").digest()

ReadNode = Callable[[int, int], bytes]
"""Returns the root of the complete subtree of a level and number."""


class Node(NamedTuple):
    """The root of a complete subtree."""

    level: int
    number: int
    hash: bytes


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf; the first byte keeps leaves and nodes apart."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root of a tree whose complete subtrees, largest first, have these roots."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def peaks_of(size: int) -> tuple[tuple[int, int], ...]:
    """Level and number of the complete subtrees that make up a tree, largest first.

    >>> peaks_of(6)
    ((2, 0), (1, 2))
    """
    levels = [level for level in range(size.bit_length()) if size >> level & 1]
    return tuple((level, (size >> level) - 1) for level in reversed(levels))


class Frontier:
    """The right edge of a tree: all that appending needs, one hash for each bit of the size."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    def append(self, leaf: bytes) -> tuple[Node, ...]:
        """Add a leaf's hash; returns the subtrees that this completes, smallest first."""
        completed: list[Node] = []
        edge, level, number = leaf, 0, self.size
        while number & 1:
            edge, level, number = node_hash(self._peaks.pop(), edge), level + 1, number >> 1
            completed.append(Node(level, number, edge))
        self._peaks.append(edge)
        self.size += 1
        return tuple(completed)

    def root(self) -> bytes:
        """The root of the whole tree as it stands."""
        return fold(self._peaks)


def inclusion_proof(position: int, size: int, read: ReadNode) -> tuple[bytes, ...]:
    """The hashes that lead from the leaf at `position` to the root of the tree of `size`."""
    if not 0 <= position < size:
        raise ValueError(f"a tree of {size} has no position {position}")
    return tuple(_path(position, 0, size, read))


def consistency_proof(old: int, new: int, read: ReadNode) -> tuple[bytes, ...]:
    """The hashes that show the tree of size `old` to be the beginning of the tree of size `new`."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} cannot be the beginning of one of {new}")
    if old in (0, new):
        return ()
    return tuple(_subproof(old, 0, new, whole=True, read=read))


def inclusion_holds(
    leaf: bytes, position: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof leads from the leaf to the root (RFC 9162, 2.1.3.2)."""
    if not 0 <= position < size:
        return False
    number, last, edge = position, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            edge = node_hash(sibling, edge)
            while number & 1 == 0 and number:
                number, last = number >> 1, last >> 1
        else:
            edge = node_hash(edge, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and edge == root


def consistency_holds(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows the old tree to be the beginning of the new (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old < new:
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    number, last = old - 1, new - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old_edge = new_edge = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old_edge, new_edge = node_hash(sibling, old_edge), node_hash(sibling, new_edge)
            while number & 1 == 0 and number:
                number, last = number >> 1, last >> 1
        else:
            new_edge = node_hash(new_edge, sibling)
        number, last = number >> 1, last >> 1
    return last == 0 and old_edge == old_root and new_edge == new_root


def _split(start: int, end: int) -> int:
    # RFC 6962: the left side takes the largest power of two that leaves something to the right.
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _root(start: int, end: int, read: ReadNode) -> bytes:
    length = end - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return read(level, start >> level)
    split = _split(start, end)
    return node_hash(_root(start, split, read), _root(split, end, read))


def _path(position: int, start: int, end: int, read: ReadNode) -> list[bytes]:
    if end - start == 1:
        return []
    split = _split(start, end)
    if position < split:
        return [*_path(position, start, split, read), _root(split, end, read)]
    return [*_path(position, split, end, read), _root(start, split, read)]


def _subproof(old: int, start: int, end: int, *, whole: bool, read: ReadNode) -> list[bytes]:
    if old == end:
        return [] if whole else [_root(start, end, read)]
    split = _split(start, end)
    if old <= split:
        left = _subproof(old, start, split, whole=whole, read=read)
        return [*left, _root(split, end, read)]
    right = _subproof(old, split, end, whole=False, read=read)
    return [*right, _root(start, split, read)]
