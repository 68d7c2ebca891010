"""Secrets and internal details never reach a log, and a client sees no details of a failure."""

import io
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update
from starlette.testclient import TestClient

from api import models
from api.config import Config
from api.crypto.password_hasher import PasswordHasher
from api.services import credentials
from api.storage.database import Database
from tests.support.log_stream import Configure, lines
from tests.support.person import Person

CANARY = "canary-5b1e7f"
REJECTING = {
    "sqlite": (
        "CREATE TRIGGER stop BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'stopped'); END",
        "DROP TRIGGER stop",
    ),
    # The error message of PostgreSQL contains the whole rejected row.
    "postgresql": (
        "ALTER TABLE users ADD CONSTRAINT stop CHECK (password_hash = '') NOT VALID",
        "ALTER TABLE users DROP CONSTRAINT stop",
    ),
}
"""Statements that make a database reject changes of users, and accept them again."""


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_log_or_response_contains_a_secret(
    client: TestClient, configure: Configure, config: Config, database: Database, form: str
) -> None:
    log = configure(form)
    alice = Person(client, "alice", f"{CANARY}-one")
    responses = [alice.sign_up(), alice.sign_up()]
    granted = alice.log_in()
    tokens = [alice.token]
    responses += [alice.log_in(password=f"{CANARY}-two"), alice.log_in(username="unknown", password=f"{CANARY}-three")]
    alice.token = tokens[0]
    responses += [alice.get("/protected"), alice.get("/api/v1/me"), alice.get(f"/protected?access_token={tokens[0]}")]
    responses += _send_invalid_requests(client, alice)
    responses += [alice.log_out(), alice.get("/protected")]
    with database.transaction() as db:
        hashes = list(db.run(text("SELECT password_hash FROM users")).scalars())
        # The next log-in renews the hash, and the database rejects the change.
        db.run(
            update(models.users).values(
                password_hash=PasswordHasher(config.pepper, 5, lambda call: call()).hash(alice.password)
            )
        )
        reject, accept = REJECTING[database.engine.dialect.name]
        db.run(text(reject))
    responses.append(alice.log_in())
    with database.transaction() as db:
        db.run(text(accept))
        db.run(update(models.users).values(password_hash=f"{CANARY}-hash"))
    responses.append(alice.log_in())
    with database.transaction() as db:
        db.run(text("ALTER TABLE users RENAME COLUMN email TO electronic_mail"))
    responses += [Person(client, "bobby", f"{CANARY}-four").sign_up(), alice.log_in()]
    assert [response.status_code for response in responses[-4:]] == [500] * 4
    output = log.getvalue() + "".join(str(response.headers) + response.text for response in responses)
    output += str(granted.headers)
    secrets = [CANARY, *tokens, *tokens[0].split("."), *hashes, *(hash_[-31:] for hash_ in hashes)]
    secrets += [config.secret.hex(), config.pepper.hex(), repr(config.secret)[2:-1], "$2b$"]
    assert [secret for secret in secrets if secret in output] == []
    assert "user_created" in output
    assert "UPDATE users SET password_hash=" in output


def _send_invalid_requests(client: TestClient, person: Person) -> list[httpx.Response]:
    """Send requests that contain secrets and break the rules of the contract. Return the responses."""
    paths = ["/api/v1/auth/signup", "/api/v1/auth/login"]
    bodies: list[dict[str, Any]] = [
        {"content": f'{{"username": "alice", "password": "{CANARY}"'},
        {"content": f'{{"username": "alice", "password": "{CANARY}"}}'.encode("utf-16")},
        {"content": f'{{"password": "{CANARY}", "password": "{CANARY}"}}'},
        {"content": f'{{"password": "{CANARY}\\u0000"}}'},
        {"content": f'{{"password": NaN, "username": "{CANARY}"}}'},
        {"json": {"username": [CANARY], "email": {CANARY: CANARY}, "password": {"value": CANARY}}},
        {"json": {"username": CANARY * 30, "email": f"{CANARY}@", "password": CANARY * 30}},
        {"json": {CANARY: CANARY}},
        {"json": CANARY},
        {"json": [CANARY]},
        {"json": {"username": "alice", "password": CANARY}, "params": {"password": CANARY}},
        {"data": {"username": "alice", "password": CANARY}},
        {"files": {"password": CANARY}},
        {"content": CANARY * 10_000},
    ]
    responses = [client.post(path, headers=person.headers, **body) for path in paths for body in bodies]
    assert {response.status_code for response in responses} <= {400, 413, 415}
    for header in (f"Bearer {CANARY}", f"Basic {CANARY}", CANARY):
        responses.append(client.get("/protected", headers={"Authorization": header, "Cookie": f"token={CANARY}"}))
    return responses


def test_a_failure_is_logged_and_hidden_from_the_client(
    client: TestClient, alice: Person, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"SELECT {CANARY}")

    monkeypatch.setattr(credentials, "log_in", fail)
    response = alice.log_in()
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "An internal error occurred. The server's log has the cause under this response's X-Request-ID.",
        "code": "INTERNAL_ERROR",
    }
    sent = str(response.headers) + response.text
    assert [word for word in (CANARY, "RuntimeError", "Traceback", ".py", "SELECT", "/api/") if word in sent] == []
    (failure,) = [line for line in lines(log) if line["level"] == "error"]
    assert failure["request_id"] == response.headers["x-request-id"]
    assert failure["exception"].startswith("Traceback")
    assert failure["exception"].endswith(f"RuntimeError: SELECT {CANARY}")
    assert lines(log, "requests")[-1]["status"] == 500
