"""The resources that you add to Charter, for the tests that need more than the contract and the models."""

TAGS: set[str] = set()
"""The tags of your operations.

Some tests send a request of Charter's own to each operation that has rate limits or writes events, or compare the
schemas of its bodies with the tables. They leave out these operations, which you test yourself.
"""

TABLES: set[str] = set()
"""The names of your tables. Some tests give a user rows in each other table with rows of users."""
