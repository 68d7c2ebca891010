"""The resources that you add to Charter, for the tests that need more than the contract and the tables."""

TAGS: set[str] = set()
"""The tags of your operations.

Some tests contain a request for each operation that has rate limits or writes events. Others compare the schemas of
bodies with the tables. All these tests leave out the operations with these tags, so test those yourself.
"""

TABLES: set[str] = set()
"""The names of your tables. Some tests give a user rows in each other table with rows of users."""

STATEMENTS: dict[str, str] = {}
"""A part of each SQL statement that may read or sort a whole table, and the reason. Line breaks count as spaces.

For example, `"SELECT count(*) AS count_1 FROM notes": "only admins call it"`.
"""

BODIES: dict[str, bytes] = {}
"""The body of each operation that takes bytes, by `operationId`. All others send the example of the contract."""

PUBLIC: dict[str, str] = {}
"""The reason of each operation that needs no token, by `operationId`. All others require one."""

WITH_KEYS: dict[str, str] = {}
"""The reason of each operation that accepts an API key, by `operationId`. All others reject API keys."""
