"""A locked DuckDB, opened inside a confined process.

DuckDB's own settings are the second fence; the first is the statement check and the third is the
kernel. Every setting is read back, because one that is silently ignored protects nobody.
"""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from marketplace.engine.limits import Limits

_LOCKED_DOWN: dict[str, str | bool | int] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "allow_persistent_secrets": False,
    "allow_unredacted_secrets": False,
    "python_enable_replacements": False,
    "python_scan_all_frames": False,
    "max_expression_depth": 250,
    # Files are verified before they come here and never change, so caches need not ask again.
    "validate_external_file_cache": "NO_VALIDATION",
}
_OF_EXTENSIONS = {"parquet_metadata_cache": True, "TimeZone": "UTC"}


def open_instance(limits: Limits, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open an instance in memory that spills to `scratch`; still able to read what the kernel allows."""
    config: dict[str, str | bool | int | float | list[str]] = {
        **_LOCKED_DOWN,
        "threads": limits.threads,
        # DuckDB would count the caller's thread among its own, which takes rows while they work.
        "external_threads": 0,
        "memory_limit": f"{limits.engine_memory}B",
        # Must be set as the instance opens: later DuckDB adds a folder of its own to those allowed.
        "temp_directory": str(scratch / "spill"),
        "max_temp_directory_size": f"{limits.scratch}B",
        "home_directory": str(scratch),
        "secret_directory": str(scratch / "secrets"),
        "extension_directory": str(scratch / "extensions"),
    }
    connection = duckdb.connect(":memory:", config=config)
    for name, value in _OF_EXTENSIONS.items():
        connection.execute(f"SET GLOBAL {name} = {literal(str(value))}")
    return connection


def lock(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Leave the instance only `paths` to open, and no setting to change but how much of a result it
    makes ahead, which DuckDB lets be set for one cursor at a time only."""
    listed = ", ".join(map(literal, paths))
    connection.execute("SET allowed_configs = ['streaming_buffer_size']")
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def scan(files: Iterable[str]) -> str:
    """The table that Parquet files are together; their folders' names add no columns."""
    return f"read_parquet([{', '.join(map(literal, files))}], hive_partitioning = false)"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"
