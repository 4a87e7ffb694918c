"""A statement that names more data than one query may read is refused before anything is fetched."""

import pytest

from catalogue.dataset import DataFile
from marketplace.errors import QueryTooLarge
from marketplace.query.estimate import check_scan


def files(*sizes: int) -> list[DataFile]:
    return [DataFile(key=f"k{size}", sha256="0" * 64, bytes=size, rows=1) for size in sizes]


def test_what_the_manifest_promises_may_be_as_much_as_the_limit() -> None:
    check_scan(files(600, 400), 1000)


def test_one_byte_more_is_refused_with_both_sizes() -> None:
    with pytest.raises(QueryTooLarge, match="hold 2 KiB, and one query may read 2 KiB") as refused:
        check_scan(files(1024, 1025), 2048)
    assert "download" in refused.value.next_step


def test_a_statement_without_tables_reads_nothing() -> None:
    check_scan([], 0)
