"""Each table with rows of a user defines their fate at a deletion, and what an export shows of them."""

from api.services import data_export
from tests.support.user_rows import FOREIGN_KEYS, TABLES, USER_COLUMNS

# Tables with rows of a user that an export leaves out.
NOT_EXPORTED = {
    "codes": "The rows hold digests of codes that only a mail may show.",
    "known_places": "The rows hold digests of networks, from which the user learns nothing.",
    "users": "The export has the profile.",
}


def test_the_deletion_of_a_user_changes_each_row_that_refers_to_it() -> None:
    assert len(FOREIGN_KEYS) > 2
    for key in FOREIGN_KEYS:
        assert key.ondelete in {"CASCADE", "SET NULL"}, f"{key.parent} needs an ondelete"
        assert key.ondelete == "CASCADE" or key.parent.nullable


def test_each_table_with_rows_of_a_user_is_exported_or_has_a_reason() -> None:
    exported = {table.name for table in data_export.exported_tables()}
    assert exported & NOT_EXPORTED.keys() == set()
    tables = {table.name for table, _ in USER_COLUMNS}
    assert exported | NOT_EXPORTED.keys() == tables, "give the table EXPORTED columns, or NOT_EXPORTED a reason"


def test_a_table_with_parts_of_a_users_rows_has_the_user_as_well() -> None:
    personal = {table for table, _ in USER_COLUMNS}
    parts = {table.name for table in TABLES for key in table.foreign_keys if key.column.table in personal} - {
        table.name for table in personal
    }
    hint = "add a column user_id: the export and the tests of a deletion find the rows of a user by it"
    assert parts == set(), hint
