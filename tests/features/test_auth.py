"""Sign-up, log-in and log-out."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.crypto.access_tokens import LEEWAY_SECONDS
from tests.support.databases import on_sqlite
from tests.support.person import FRESH, PASSWORD, Person, token_pair
from tests.support.problems import assert_problem
from tests.support.types import Travel


def test_sign_up_returns_the_user_and_its_location(client: TestClient) -> None:
    response = Person(client, "alice").sign_up()
    user = response.json()
    assert (response.status_code, response.headers["location"]) == (201, "/api/v1/me")
    assert user == {
        "id": user["id"],
        "username": "alice",
        "email": "alice@example.com",
        "created_at": user["created_at"],
        **FRESH,
    }
    assert user["id"][14] == "7"
    assert user["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"username": None}, "/body/username", "REQUIRED"),
        ({"email": None}, "/body/email", "REQUIRED"),
        ({"password": None}, "/body/password", "REQUIRED"),
        ({"username": "abcd"}, "/body/username", "TOO_SHORT"),
        ({"username": "a" * 81}, "/body/username", "TOO_LONG"),
        ({"username": "administrator"}, "/body/username", "WRONG_FORMAT"),
        ({"username": "alice..b"}, "/body/username", "WRONG_FORMAT"),
        ({"username": "alice\n"}, "/body/username", "WRONG_FORMAT"),
        ({"username": "\u0661\u0662\u0663\u0664\u0665"}, "/body/username", "WRONG_FORMAT"),
        ({"email": "alice"}, "/body/email", "WRONG_FORMAT"),
        ({"email": "alice@localhost"}, "/body/email", "WRONG_FORMAT"),
        ({"password": "short"}, "/body/password", "TOO_SHORT"),
        ({"password": "x" * 129}, "/body/password", "TOO_LONG"),
        ({"password": 12345678}, "/body/password", "WRONG_TYPE"),
    ],
)
@on_sqlite
def test_sign_up_names_the_invalid_field(client: TestClient, change: dict[str, Any], pointer: str, code: str) -> None:
    form = {name: value for name, value in (Person(client, "alice").form | change).items() if value is not None}
    response = client.post("/api/v1/auth/signup", json=form)
    assert_problem(response, 400, "INVALID_INPUT")
    assert {(fault["pointer"], fault["code"]) for fault in response.json()["errors"]} == {(pointer, code)}


@on_sqlite
def test_sign_up_reports_all_faults_without_quoting_values(client: TestClient) -> None:
    form = {"username": "a!", "email": "nowhere", "password": "hunter2"}
    response = client.post("/api/v1/auth/signup", json=form)
    assert response.status_code == 400
    assert {fault["pointer"] for fault in response.json()["errors"]} == {
        "/body/username",
        "/body/email",
        "/body/password",
    }
    assert not any(value in response.text for value in form.values())


@pytest.mark.parametrize("name", ["role", "is_admin", "id", "user_id", "verified", "created_at", "password_hash"])
@on_sqlite
def test_sign_up_rejects_undeclared_properties(client: TestClient, name: str) -> None:
    response = client.post("/api/v1/auth/signup", json=Person(client, "alice").form | {name: True})
    assert response.status_code == 400
    assert [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]] == [("/body", "UNKNOWN")]


@pytest.mark.parametrize("username", ["alice", "ALICE"])
def test_a_username_is_unique(client: TestClient, alice: Person, username: str) -> None:
    form = {"username": username, "email": "other@example.com", "password": PASSWORD}
    response = client.post("/api/v1/auth/signup", json=form)
    assert_problem(response, 409, "USERNAME_TAKEN")


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@EXAMPLE.COM", "\uff41lice@example.com"])
def test_an_email_is_unique(client: TestClient, alice: Person, email: str) -> None:
    form = {"username": "other", "email": email, "password": PASSWORD}
    response = client.post("/api/v1/auth/signup", json=form)
    assert_problem(response, 409, "EMAIL_TAKEN")


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("name", ["alice", "Alice", "alice@example.com", " ALICE@example.com "])
def test_log_in_accepts_the_username_or_the_email(alice: Person, name: str) -> None:
    response = alice.log_in(username=name)
    assert response.status_code == 200
    assert response.json() == token_pair(alice)
    assert response.headers["cache-control"] == "no-store"
    assert alice.get("/protected").json() == {"message": "Your token is good."}


def test_unknown_user_and_wrong_password_get_the_same_response(alice: Person) -> None:
    known, unknown = alice.log_in(password="wrong password"), alice.log_in(username="unknown")
    assert known.status_code == unknown.status_code == 401
    assert known.json() == unknown.json()
    assert known.json()["code"] == "INVALID_CREDENTIALS"
    assert "access_token" not in known.json()
    varying = {"date", "x-request-id"}
    assert {k: v for k, v in known.headers.items() if k not in varying} == {
        k: v for k, v in unknown.headers.items() if k not in varying
    }


def test_log_out_ends_only_its_own_session(alice: Person) -> None:
    phone = alice.token
    alice.log_in()
    response = alice.log_out()
    assert (response.status_code, response.content) == (204, b"")
    assert alice.get("/protected").json()["code"] == "INVALID_TOKEN"
    assert alice.log_out().status_code == 401
    alice.token = phone
    assert alice.get("/protected").status_code == 200


def test_an_access_token_expires(alice: Person, travel: Travel) -> None:
    travel(timedelta(seconds=900 - 1))
    assert alice.get("/protected").status_code == 200
    travel(timedelta(seconds=1 + LEEWAY_SECONDS))
    response = alice.get("/protected")
    assert_problem(response, 401, "INVALID_TOKEN")
