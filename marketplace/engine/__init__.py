"""DuckDB's one home: killable, confined processes that turn bytes into tables and answers."""
