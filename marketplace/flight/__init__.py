"""Arrow Flight SQL: the exit for ADBC, JDBC, ODBC and Power BI."""
