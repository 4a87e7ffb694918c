"""A process and all that descend from it."""

from collections.abc import Iterator
from pathlib import Path


def family(root: int) -> Iterator[int]:
    """A process and its descendants; those that end meanwhile are left out."""
    yield root
    try:
        lists = [task / "children" for task in Path(f"/proc/{root}/task").iterdir()]
        children = {int(child) for listed in lists for child in listed.read_text().split()}
    except OSError:
        return
    for child in children:
        yield from family(child)
