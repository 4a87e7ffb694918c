"""An extract holds exactly its scope: in its rows, its columns, its order and its statistics."""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest
from pyarrow import parquet

from access_policies.scope import RowsWithValues
from marketplace.engine.extract.build import ExtractBuilder
from marketplace.engine.extract.extract_messages import Condition, ExtractColumn
from marketplace.engine.limits import Limits
from marketplace.engine.written_file import WrittenFile, digest
from marketplace.errors import QueryFailed, QueryTimedOut

WriteParquet = Callable[[str, str], Path]
Extract = Callable[..., WrittenFile]

PEOPLE = """
    SELECT * FROM (VALUES
        (4, 'Liverpool', 'zoe', 90000), (2, 'Leeds', 'HIDDEN', 987654), (3, 'Liverpool', 'amy', 100),
        (1, NULL, 'HIDDEN', 555555), (5, 'Sheffield', 'HIDDEN', 777777)
    ) t(id, council, name, salary) ORDER BY salary DESC
"""


@pytest.fixture
def people(write_parquet: WriteParquet) -> Path:
    return write_parquet("people.parquet", PEOPLE)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def builder(limits: Limits, tmp_path: Path) -> Iterator[ExtractBuilder]:
    built_by = ExtractBuilder(limits, scratch=tmp_path / "scratch")
    yield built_by
    built_by.close()


@pytest.fixture
def extract(builder: ExtractBuilder, into: Path) -> Extract:
    """Build an extract of columns as they are."""

    def build(
        file: Path, *columns: str, where: tuple[Condition, ...] = (), deadline: float | None = None
    ) -> WrittenFile:
        [written] = builder.build(
            (file,),
            columns=[ExtractColumn(name) for name in columns],
            conditions=where,
            into=into,
            deadline=deadline,
        )
        return written

    return build


LIVERPOOL = (RowsWithValues("council", ("Liverpool",)),)


def test_it_holds_the_rows_and_columns_of_the_scope_and_no_others(
    people: Path, into: Path, extract: Extract
) -> None:
    file = extract(people, "name", "id", where=LIVERPOOL)

    assert parquet.read_table(file.path).to_pylist() == [
        {"name": "amy", "id": 3},
        {"name": "zoe", "id": 4},
    ]
    assert (file.rows, file.bytes, file.sha256) == (2, file.path.stat().st_size, digest(file.path))
    assert list(into.iterdir()) == [file.path]


def test_the_order_is_that_of_visible_columns(people: Path, into: Path, extract: Extract) -> None:
    # The published file lies in the order of the salary, which the extract leaves out.
    file = extract(people, "id")

    assert parquet.read_table(file.path)["id"].to_pylist() == [1, 2, 3, 4, 5]


def test_nothing_of_what_is_left_out_stands_in_the_bytes_or_in_the_metadata(
    people: Path, into: Path, extract: Extract
) -> None:
    file = extract(people, "id", "name", where=LIVERPOOL)
    plain = into / "plain.parquet"
    duckdb.sql(f"COPY (FROM '{file.path}') TO '{plain}' (FORMAT parquet, COMPRESSION uncompressed)")
    metadata = parquet.read_metadata(file.path)

    for data in (file.path.read_bytes(), plain.read_bytes()):
        assert not any(word in data for word in (b"HIDDEN", b"salary", b"council", b"Leeds"))
        assert str(people.parent).encode() not in data
    assert metadata.row_group(0).column(0).statistics.min == 3
    assert metadata.num_rows == 2
    assert file.columns == ()


@pytest.mark.parametrize(
    ("column", "values", "ids"),
    [
        ("id", {"4", "5"}, [4, 5]),
        ("council", set(), []),
        ("council", {"Liverpool'; DROP TABLE x; --"}, []),
        ("council", {"NULL", ""}, []),
        ("council", {"liverpool"}, []),
    ],
)
def test_rows_are_compared_as_text_and_never_by_accident(
    people: Path, into: Path, extract: Extract, column: str, values: set[str], ids: list[int]
) -> None:
    rows = RowsWithValues(column, tuple(values))
    file = extract(people, "id", where=(rows,))

    assert parquet.read_table(file.path)["id"].to_pylist() == ids


def test_a_column_that_the_files_do_not_have_is_refused(
    people: Path, into: Path, extract: Extract
) -> None:
    with pytest.raises(QueryFailed) as failed:
        extract(people, "gone")
    assert str(people) not in failed.value.detail


def test_a_hostile_column_name_is_only_a_name(
    write_parquet: WriteParquet, into: Path, extract: Extract
) -> None:
    name = 'a" FROM x; --'
    quoted = name.replace('"', '""')
    file = write_parquet("odd.parquet", f'SELECT 1 AS "{quoted}", 2 AS b')
    written = extract(file, name)

    assert parquet.read_table(written.path).to_pylist() == [{name: 1}]


def test_nested_values_are_ordered_too(
    write_parquet: WriteParquet, into: Path, extract: Extract
) -> None:
    file = write_parquet("nested.parquet", "SELECT [3 - i] AS l, {'a': i} AS s FROM range(3) t(i)")
    written = extract(file, "l", "s")

    assert parquet.read_table(written.path)["l"].to_pylist() == [[1], [2], [3]]


def test_a_large_table_is_sorted_on_disk(
    write_parquet: WriteParquet, into: Path, limits: Limits, tmp_path: Path
) -> None:
    select = "SELECT hash(i) AS id, i AS number, i % 7 AS hidden FROM range(6000000) t(i)"
    file = write_parquet("large.parquet", select)
    narrow = msgspec.structs.replace(limits, memory=320 * 1024**2)
    builder = ExtractBuilder(narrow, scratch=tmp_path / "narrow")
    columns = (ExtractColumn("id"), ExtractColumn("number"))
    [written] = builder.build((file,), columns=columns, into=into)
    builder.close()

    assert written.rows == 6_000_000
    assert list(into.iterdir()) == [written.path]
    previous = f"SELECT id, lag(id) OVER () AS before FROM '{written.path}'"
    with duckdb.connect() as connection:
        ordered = connection.execute(f"SELECT bool_and(id >= before) FROM ({previous})").fetchall()
    assert ordered == [(True,)]


def test_it_ends_at_its_deadline(write_parquet: WriteParquet, into: Path, extract: Extract) -> None:
    file = write_parquet("slow.parquet", "SELECT md5(i::VARCHAR) AS name FROM range(2000000) t(i)")
    with pytest.raises(QueryTimedOut):
        extract(file, "name", deadline=0.05)
