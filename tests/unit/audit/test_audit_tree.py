"""The tree against RFC 6962's recursive definition, and Certificate Transparency's known answers."""

import hashlib
from functools import cache

import pytest

from marketplace.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_holds,
    consistency_proof,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
    peaks_of,
)

SIZES = 256
LEAVES = [leaf_hash(str(number).encode()) for number in range(SIZES + 1)]

# The inputs and roots that Certificate Transparency's implementations are tested with.
KNOWN_INPUTS = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@cache
def defined(start: int, end: int) -> bytes:
    """MTH of RFC 6962, 2.1, as it is written there."""
    if start == end:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return LEAVES[start]
    split = 1
    while split * 2 < end - start:
        split *= 2
    left, right = defined(start, start + split), defined(start + split, end)
    return hashlib.sha256(b"\x01" + left + right).digest()


def read(level: int, number: int) -> bytes:
    return defined(number << level, (number + 1) << level)


def test_the_roots_are_those_of_certificate_transparency():
    frontier = Frontier()
    roots = [frontier.root()]
    for text in KNOWN_INPUTS:
        frontier.append(leaf_hash(bytes.fromhex(text)))
        roots.append(frontier.root())
    assert [root.hex() for root in roots] == KNOWN_ROOTS


def test_appending_gives_the_defined_root_and_nodes_at_every_size():
    frontier = Frontier()
    for size in range(SIZES + 1):
        assert frontier.root() == defined(0, size)
        resumed = Frontier(size, [read(level, number) for level, number in peaks_of(size)])
        assert resumed.root() == frontier.root()
        completed = frontier.append(LEAVES[size])
        assert resumed.append(LEAVES[size]) == completed
        assert all(node.hash == read(node.level, node.number) for node in completed)


def test_every_leaf_of_every_size_is_proven_and_nothing_else_is():
    for size in range(1, SIZES + 1, 5):
        root = defined(0, size)
        for position in range(size):
            proof = inclusion_proof(position, size, read)
            leaf = LEAVES[position]
            assert inclusion_holds(leaf, position, size, proof, root)
            assert not inclusion_holds(LEAVES[position + 1], position, size, proof, root)
            assert not inclusion_holds(leaf, position, size, (*proof, root), root)
            assert not inclusion_holds(leaf, size, size, proof, root)
            if proof:
                assert not inclusion_holds(leaf, position, size, proof[:-1], root)
                assert not inclusion_holds(leaf, position ^ 1, size, proof, root)


def test_every_size_is_proven_to_begin_every_later_one_and_no_other_tree():
    for new in range(0, SIZES + 1, 7):
        for old in range(new + 1):
            proof = consistency_proof(old, new, read)
            roots = defined(0, old), defined(0, new)
            assert consistency_holds(old, roots[0], new, roots[1], proof)
            assert not consistency_holds(old, LEAVES[-1], new, roots[1], proof)
            assert old == new or not consistency_holds(old, roots[0], new, roots[1], (*proof, b""))
            if proof:
                assert not consistency_holds(old, roots[0], new, LEAVES[-1], proof)
                assert not consistency_holds(old, roots[0], new, roots[1], proof[:-1])
                assert not consistency_holds(old, roots[0], new, roots[1], ())


def test_the_published_consistency_proof_of_sizes_6_and_8_is_reproduced():
    inputs = [leaf_hash(bytes.fromhex(text)) for text in KNOWN_INPUTS]
    frontier, nodes = Frontier(), {(0, n): digest for n, digest in enumerate(inputs)}
    for digest in inputs:
        nodes |= {(node.level, node.number): node.hash for node in frontier.append(digest)}
    proof = consistency_proof(6, 8, lambda level, number: nodes[level, number])
    assert [digest.hex() for digest in proof] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_the_empty_tree_begins_every_tree():
    assert consistency_holds(0, EMPTY_ROOT, 9, defined(0, 9), ())
    assert not consistency_holds(0, LEAVES[0], 9, defined(0, 9), ())


@pytest.mark.parametrize(("position", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_no_proof_is_made_for_a_position_outside_the_tree(position: int, size: int):
    with pytest.raises(ValueError, match="no position"):
        inclusion_proof(position, size, read)


def test_no_proof_is_made_that_a_larger_tree_begins_a_smaller():
    with pytest.raises(ValueError, match="cannot be the beginning"):
        consistency_proof(5, 4, read)
