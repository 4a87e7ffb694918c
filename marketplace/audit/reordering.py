"""Which entries changed places, where their rows fit together but the tree above does not."""

from collections.abc import Iterator, Sequence
from itertools import permutations

from sqlalchemy import Connection, select

from marketplace.audit import records
from marketplace.audit.rebuild import Span
from marketplace.audit.tree import node_hash

# Every pair of the leaves in question is tried, so the number of them is bounded.
_MOST_PAIRS = 16


def explain(connection: Connection, suspects: Sequence[Span]) -> Iterator[str]:
    """Say for each wrong subtree which entries belong in it, or that entries there are others.

    A stored node over two leaves still has the hash of those that were there first, so the pair of
    leaves that gives it is the pair that belongs there.
    """
    pairs = [span for span in suspects if span.level == 1][:_MOST_PAIRS]
    leaves = _leaves(connection, pairs)
    parents = _parents(connection, pairs)
    for span in suspects:
        places = _belonging(leaves, parents.get(span.number)) if span in pairs else None
        if places is None:
            yield (
                f"Entries at {span} were changed, moved or replaced, or the tree node over them "
                "was."
            )
            continue
        for place, origin in zip((2 * span.number, 2 * span.number + 1), places, strict=True):
            if place != origin:
                yield (
                    f"The entry at position {origin} belongs at position {place}: "
                    "entries were reordered."
                )


def _belonging(leaves: dict[int, bytes], parent: bytes | None) -> tuple[int, int] | None:
    return next(
        (
            (left, right)
            for left, right in permutations(leaves, 2)
            if node_hash(leaves[left], leaves[right]) == parent
        ),
        None,
    )


def _leaves(connection: Connection, pairs: Sequence[Span]) -> dict[int, bytes]:
    positions = [2 * span.number + side for span in pairs for side in (0, 1)]
    leaves = records.leaves.c
    chosen = select(leaves.position, leaves.hash).where(leaves.position.in_(positions))
    return dict(connection.execute(chosen).all())


def _parents(connection: Connection, pairs: Sequence[Span]) -> dict[int, bytes]:
    nodes = records.nodes.c
    chosen = select(nodes.number, nodes.hash).where(
        nodes.level == 1, nodes.number.in_([span.number for span in pairs])
    )
    return dict(connection.execute(chosen).all())
