"""The columns that a log-in compares, so that no process caches a profile that has changed meanwhile."""

from sqlalchemy import Column

from api.services import session_statements as sql

CHANGEABLE = {column.name for column in sql.PROFILE if isinstance(column, Column)}
# Of the time of the verification, only its presence is compared.
PARAMETERS = {name: f"read_{name}" for name in CHANGEABLE} | {"email_verified_at": "read_unverified"}


def test_all_of_a_profile_but_the_id_and_its_time_can_change() -> None:
    assert {column.name for column in sql.PROFILE} - CHANGEABLE == {"user_id", "user_created_at"}


def test_a_log_in_compares_each_column_of_a_profile() -> None:
    assert set(PARAMETERS.values()) <= set(sql.START.compile().params)


def test_a_log_in_compares_the_hash_of_the_password() -> None:
    assert {"read_id", "read_password_hash"} <= set(sql.START.compile().params)
