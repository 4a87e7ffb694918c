"""Reading a file that a publisher sent: typed, checked, and written as Parquet."""
