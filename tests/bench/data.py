"""What is published: TPC-H's eight tables, and payments such as councils publish them."""

import subprocess
import sys
from pathlib import Path

import duckdb

TABLES = (
    "lineitem", "orders", "customer", "part", "partsupp", "supplier", "nation", "region"
)  # fmt: skip


def generate_tpch(folder: Path, scale: float) -> dict[str, Path]:
    """The tables as zstd Parquet, the same at every run; made once per scale factor."""
    into = folder / f"tpch-{scale:g}"
    files = {table: into / f"{table}.parquet" for table in TABLES}
    if not all(file.exists() for file in files.values()):
        partial = into.with_suffix(".partial")
        command = [str(Path(sys.executable).with_name("tpchgen-cli")), "parquet", "--quiet"]
        options = ["--compression", "ZSTD(3)", "--overwrite", "--output-dir", str(partial)]
        subprocess.run([*command, "--scale-factor", f"{scale:g}", *options], check=True)
        partial.rename(into)
    return files


def generate_payments(folder: Path, rows: int) -> Path:
    """A payments table as CSV, the same at every run; made once per number of rows."""
    path = folder / f"payments-{rows}.csv"
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    duckdb.sql(
        f"""
        COPY (
            SELECT n AS payment_id,
                   DATE '2020-01-01' + CAST(hash(n, 1) % 1800 AS INTEGER) AS paid_on,
                   'E0' || (7000000 + hash(n, 7) % 300)::VARCHAR AS area_code,
                   'Service ' || hash(n, 2) % 40 AS service,
                   CASE hash(n, 3) % 3 WHEN 0 THEN 'Capital' ELSE 'Revenue' END AS kind,
                   CAST(hash(n, 4) % 50000 AS BIGINT) AS supplier_id,
                   'Purchase order ' || hash(n, 5) % 100000 AS description,
                   CAST(hash(n, 6) % 100000000 / 100 AS DECIMAL(18, 2)) AS net_amount,
                   CAST(hash(n, 6) % 100000000 / 500 AS DECIMAL(18, 2)) AS vat_amount
            FROM range({rows}) numbers(n)
        ) TO '{partial}' (HEADER)
        """
    )
    partial.rename(path)
    return path
