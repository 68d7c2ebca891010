"""The stored hashes of passwords, and the cost of a log-in."""

import base64
import hashlib
import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import create_engine, text, update
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.storage.database import Database
from tests.features.test_passwords import NEW, WRONG, change, stored_hash
from tests.support.bcrypt_spy import Bcrypt
from tests.support.person import PASSWORD, Person
from tests.support.problems import assert_problem
from tests.support.workers import stored_bytes


def test_the_stored_hash_contains_its_scheme_and_cost(alice: Person, database: Database, config: Config) -> None:
    scheme, bcrypt_hash = stored_hash(database).split(":")
    assert scheme == "hmac-sha384-nfkc"
    assert bcrypt_hash.startswith("$2b$04$")
    assert len(bcrypt_hash) == 60


def test_equal_passwords_have_different_hashes(alice: Person, bobby: Person, database: Database) -> None:
    assert alice.password == bobby.password
    assert stored_hash(database, "alice") != stored_hash(database, "bobby")


def test_a_stolen_hash_cannot_be_checked_without_the_pepper(alice: Person, config: Config) -> None:
    with TestClient(create_app(replace(config, pepper=bytes(range(64, 96))))) as elsewhere:
        assert Person(elsewhere, "alice").log_in().status_code == 401
    assert alice.log_in().status_code == 200


def test_the_database_stores_secrets_only_as_digests(client: TestClient, config: Config) -> None:
    alice = Person(client, "alice", "Zo\u00eb's secret caf\u00e9")
    sent: list[str] = [alice.password, unicodedata.normalize("NFD", alice.password), WRONG, NEW]
    alice.sign_up()
    for act in (alice.log_in, alice.refresh, alice.refresh, partial(change, alice, alice.password), alice.refresh):
        act()
        sent += [alice.refresh_token, *alice.token.split(".")]
    valid = alice.refresh_token
    alice.log_in(password=WRONG)
    Person(client, "alice").log_in(password=NEW)
    dump = stored_bytes(config)
    assert b"alice@example.com" in dump
    assert hashlib.sha256(valid.encode()).digest() in dump
    secrets = [text.encode() for text in sent] + [config.pepper, config.secret]
    # The bytes of a refresh token, and their two parts. The first is the same in all tokens of a session.
    raw = [base64.urlsafe_b64decode(token) for token in sent if len(token) == 64]
    secrets += [part for token in raw for part in (token, token[:16], token[16:])]
    assert [secret for secret in secrets if secret in dump or secret.hex().encode() in dump] == []


@pytest.mark.parametrize("cost", [5, 6])
def test_a_hash_of_another_cost_is_renewed_only_by_a_log_in(
    alice: Person, config: Config, database: Database, hashing: Bcrypt, cost: int
) -> None:
    before = stored_hash(database)
    with TestClient(create_app(replace(config, bcrypt_cost=cost))) as later:
        alice = Person(later, "alice")
        assert alice.log_in(password=WRONG).status_code == 401
        assert stored_hash(database) == before
        assert alice.log_in().status_code == 200
        renewed = stored_hash(database)
        assert renewed.startswith(f"hmac-sha384-nfkc:$2b${cost:02}$")
        assert alice.log_in().status_code == 200
        assert stored_hash(database) == renewed
    # Each check of the older hash takes as long as one of the current cost.
    rest = [f"$2b${lower:02}$" for lower in range(4, cost)]
    assert hashing.hashed == [*rest, *rest, f"$2b${cost:02}$"]


def test_a_failed_log_in_costs_one_check_for_any_username(alice: Person, hashing: Bcrypt) -> None:
    names = ["alice", "alice@example.com", "unknown", "unknown@example.com", "\u0130", "x" * 254]
    responses = [alice.log_in(username=name, password=WRONG) for name in names]
    assert {response.text for response in responses} == {responses[0].text}
    assert [response.status_code for response in responses] == [401] * len(names)
    assert hashing.checked == ["$2b$04$"] * len(names)
    assert hashing.hashed == []


def is_locked(config: Config) -> bool:
    """Return True if a writer has to wait on SQLite, or if a transaction is open on PostgreSQL."""
    if config.is_shared:
        open_ones = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state ~ 'in transaction'"
        engine = create_engine(config.database_url)
        with engine.connect() as connection:
            found = connection.execute(text(open_ones)).all()
        engine.dispose()
        return bool(found)
    with closing(sqlite3.connect(str(config.database_url.database), timeout=0)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def test_a_failed_log_in_costs_the_same_with_an_older_hash(renewing_client: TestClient, hashing: Bcrypt) -> None:
    for name in ("alice", "nobody99"):
        before = len(hashing.hashed), len(hashing.checked)
        response = renewing_client.post("/api/v1/auth/login", json={"username": name, "password": "wrong"})
        assert_problem(response, 401, "INVALID_CREDENTIALS")
        spent = hashing.hashed[before[0] :] + hashing.checked[before[1] :]
        assert sum(2 ** int(each.split("$")[2]) for each in spent) == 2**5


def test_hashing_a_password_holds_no_transaction(client: TestClient, config: Config, hashing: Bcrypt) -> None:
    locked: list[bool] = []
    hashing.meanwhile = lambda: locked.append(is_locked(config))
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 201
    with TestClient(create_app(replace(config, bcrypt_cost=5))) as later:
        alice = Person(later, "alice")
        assert [alice.log_in(password=WRONG).status_code, alice.log_in().status_code] == [401, 200]
    # Each check also costs a hash, because alice's has a lower cost.
    assert (hashing.hashed, hashing.checked) == ([*["$2b$04$"] * 3, "$2b$05$"], ["$2b$04$"] * 2)
    assert locked == [False] * 6


def test_log_in_with_a_damaged_hash_fails(alice: Person, database: Database) -> None:
    with database.transaction() as db:
        db.run(update(models.users).values(password_hash="hmac-sha384-nfkc:"))
    response = alice.log_in(password=PASSWORD)
    assert_problem(response, 500, "INTERNAL_ERROR")
