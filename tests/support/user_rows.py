"""The columns that refer to a user: each foreign key to the users, each column `user_id`, and the id itself."""

from sqlalchemy import Column

from api import models

TABLES = models.METADATA.sorted_tables


def _refers(column: Column[object]) -> bool:
    is_key = any(key.column is models.users.c.id for key in column.foreign_keys)
    return is_key or column.name == "user_id" or column is models.users.c.id


USER_COLUMNS = [(table, column) for table in TABLES for column in table.c if _refers(column)]
"""The tables with rows of a user, each with the column that holds the id of the user."""

KEPT = {"events": "The audit log outlives the user. It holds ids, and no name or address."}
"""The tables whose rows a deletion of the user keeps, each with the reason."""

FOREIGN_KEYS = [key for table in TABLES for key in table.foreign_keys if key.column is models.users.c.id]
