"""Writing the Parquet files that hold exactly one scope of a table."""
