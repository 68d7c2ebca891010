"""The database: engine, transactions, schema revision, change feed and cache."""
