"""Building an extract of 1/300 of a table, beside DuckDB's own COPY of the same rows.

The extract is of `lineitem`, by its suppliers. All that is done once its rows and columns are known
is counted, from taking the process that is kept warm to the digest of the file that it wrote. The
peer is a COPY with the same condition in this process, with no order; an extract's rows are sorted.
"""

import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

from figure import Figure
from sides import open_duckdb
from turns import in_turns, milliseconds, ratio
from world import World

from access_policies.scope import RowsWithValues
from marketplace.engine.extract.build import ExtractBuilder
from marketplace.engine.extract.extract_messages import ExtractColumn
from marketplace.engine.limits import Limits
from marketplace.settings import read_settings

_PART = 300
_SPARE_SECONDS = 1.0


def measure(world: World) -> list[Figure]:
    """Time taken in terms of COPY's."""
    world.say("Extracts, against COPY")
    settings = read_settings({})
    limits = Limits(
        memory=settings.ingest_memory,
        threads=settings.query_threads,
        deadline=settings.ingest_deadline,
    )
    with (
        tempfile.TemporaryDirectory(dir=world.folder) as folder,
        closing(ExtractBuilder(limits, scratch=Path(folder))) as builder,
    ):
        works = _works(builder, world.released["lineitem"], Path(folder))
        for work in works.values():
            work()
        taken = in_turns(works, world.plan.rounds, settle=_SPARE_SECONDS)
    return [
        Figure(
            what=f"extract of 1/{_PART} of lineitem, against COPY",
            measured=ratio(taken["extract"], taken["copy"]),
            unit="ratio",
            reach=1.2,
            towards=1.05,
        ),
        Figure(what="COPY of the same", measured=milliseconds(taken["copy"]), unit="ms"),
    ]


def _works(
    builder: ExtractBuilder, files: tuple[Path, ...], folder: Path
) -> dict[str, Callable[[], object]]:
    """Write the rows of some suppliers, other ones each time."""
    connection = open_duckdb()
    listed = ", ".join(f"'{file}'" for file in files)
    source = f"read_parquet([{listed}])"
    names = [row[0] for row in connection.sql(f"DESCRIBE FROM {source}").fetchall()]
    columns = [ExtractColumn(name) for name in names]
    (suppliers,) = connection.sql(f"SELECT max(l_suppkey) FROM {source}").fetchall()[0]
    copies, extracts = count(), count()

    def chosen(number: int) -> list[str]:
        return [str(supplier) for supplier in range(number + 1, suppliers + 1, _PART)]

    def copy() -> None:
        number = next(copies)
        connection.execute(
            f"COPY (FROM {source} WHERE l_suppkey IN ({', '.join(chosen(number))})) "
            f"TO '{folder / f'copy-{number}.parquet'}' (COMPRESSION zstd)"
        )

    def extract() -> None:
        number = next(extracts)
        into = folder / f"extract-{number}"
        into.mkdir()
        rows = RowsWithValues(column="l_suppkey", values=tuple(chosen(number)))
        builder.build(files, columns=columns, conditions=[rows], into=into)

    return {"copy": copy, "extract": extract}
