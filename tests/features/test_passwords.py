"""The rules for passwords, and the password change."""

import unicodedata
from importlib.resources import files
from typing import Literal

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from api import models
from api.storage.database import Database
from tests.features.test_sessions import ACTIVE, ENDED, log_in_again, session_state
from tests.support.bcrypt_spy import Bcrypt
from tests.support.databases import on_sqlite
from tests.support.person import PASSWORD, Person
from tests.support.problems import assert_problem
from tests.support.types import Events

COMMON = (files("api.services") / "common_passwords.txt").read_text(encoding="utf-8").split()
WRONG = "not the right password"
NEW = "a better battery for this horse"


def sign_up(client: TestClient, password: str, username: str = "alice", email: str = "") -> tuple[int, list[str]]:
    """Sign up. Return the status and the faults, each as pointer and code."""
    form = {"username": username, "email": email or f"{username}@example.com", "password": password}
    response = client.post("/api/v1/auth/signup", json=form)
    return response.status_code, [f"{fault['pointer']} {fault['code']}" for fault in response.json().get("errors", [])]


def stored_hash(database: Database, username: str = "alice") -> str:
    with database.transaction() as db:
        query = select(models.users.c.password_hash).where(models.users.c.username == username)
        found: str = db.run(query).scalar_one()
    return found


@pytest.mark.parametrize(
    "password",
    [
        "x7~Kq 2#",
        "xy" * 64,
        "\N{GRINNING FACE}" * 63 + "\N{WINKING FACE}",
        "\N{GRINNING FACE}\N{WINKING FACE}" * 64,
        "     p4ssing   ",
        "\u0645\u0631\u062d\u0628\u0627\u0628\u0643\u0645",
        "tab\tnewline\nescape\x1b",
        "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 127 + "x",
    ],
)
def test_any_password_of_8_to_128_characters_works(client: TestClient, password: str) -> None:
    alice = Person(client, "alice", password)
    assert alice.sign_up().status_code == 201
    assert alice.log_in().status_code == 200
    assert alice.log_in(password=password[:-1] + "!").status_code == 401


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("x7~Kq 2", "TOO_SHORT"),
        ("\N{GRINNING FACE}" * 6 + "\N{WINKING FACE}", "TOO_SHORT"),
        ("x" * 129, "TOO_LONG"),
        ("\N{GRINNING FACE}" * 129, "TOO_LONG"),
    ],
)
@on_sqlite
def test_password_length_counts_characters_not_bytes(client: TestClient, password: str, fault: str) -> None:
    assert sign_up(client, password) == (400, [f"/body/password {fault}"])


@pytest.mark.parametrize("shared", ["x" * 72, "\N{GRINNING FACE}" * 18, "x" * 127])
def test_passwords_differ_after_72_equal_bytes(client: TestClient, shared: str) -> None:
    alice = Person(client, "alice", shared + "1")
    alice.sign_up()
    assert len(shared.encode()) >= 72
    assert [alice.log_in(password=shared + end).status_code for end in ("1", "2", "")] == [200, 401, 401]


@pytest.mark.parametrize("password", ["Zo\u00eb's caf\u00e9 \u212b\u1e69", "\uff30\uff41\uff53\uff53 \u2460 \ufb01ve"])
def test_every_unicode_form_of_a_password_logs_in(client: TestClient, password: str) -> None:
    alice = Person(client, "alice", unicodedata.normalize("NFC", password))
    alice.sign_up()
    forms = {unicodedata.normalize(form, password) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) > 1
    assert {alice.log_in(password=form).status_code for form in forms} == {200}
    assert alice.log_in(password=password.upper()).status_code == 401


@pytest.mark.parametrize("operation", ["signup", "login"])
@pytest.mark.parametrize(("size", "status"), [(129, 400), (60_000, 400), (1_000_000, 413)])
@on_sqlite
def test_too_long_a_password_is_rejected_without_hashing(
    client: TestClient, hashing: Bcrypt, operation: str, size: int, status: int
) -> None:
    form = Person(client, "alice", "x" * size).form
    if operation == "login":
        del form["email"]
    assert client.post(f"/api/v1/auth/{operation}", json=form).status_code == status
    assert (hashing.hashed, hashing.checked) == ([], [])


@on_sqlite
def test_too_long_a_text_is_rejected_without_normalizing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # Normalization sorts the marks on a letter, which takes seconds for thousands of them.
    lengths = [0]
    normalize = unicodedata.normalize

    def measured(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", measured)
    marks = "e" + "\u0315\u0300" * 4000
    form = {"username": marks, "email": f"{marks}@example.com", "password": marks}
    response = client.post("/api/v1/auth/signup", json=form)
    faults = {(fault["pointer"], fault["code"]) for fault in response.json()["errors"]}
    assert response.status_code == 400
    assert {(f"/body/{name}", "TOO_LONG") for name in form} <= faults
    assert max(lengths) < 300


LONG = [password for password in COMMON if len(password) >= 8]


@pytest.mark.parametrize("password", [*LONG[:20], *LONG[20::1200]])
@on_sqlite
def test_common_passwords_are_rejected(client: TestClient, password: str) -> None:
    spellings = [password, password.upper(), f" {password}  ", password.translate({ord("a"): "\uff41"})]
    assert [sign_up(client, each) for each in spellings] == [(400, ["/body/password TOO_GUESSABLE"])] * 4


@on_sqlite
def test_the_list_of_common_passwords_is_complete_and_normalized(client: TestClient) -> None:
    assert len(set(COMMON)) == len(COMMON) > len(set(LONG)) > 10_000
    assert [p for p in COMMON if not p.isascii() or p.casefold() != p] == []
    slice_ = LONG[1000:1100]
    assert [p for p in slice_ if sign_up(client, p) != (400, ["/body/password TOO_GUESSABLE"])] == []


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaa",
        "\N{GRINNING FACE}" * 64,
        "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 128,
        "aAaA\uff21\uff41aA",
        "\u00e9\u00c9e\u0301E\u0301" * 2,
        "\u1e69\u1e68" * 4,
        " " * 8,
        "\u00a0 \u2003 \u00a0 \u3000 ",
        "Password1!",
        "password12345",
        "QWERTY 2026!",
        "trustno1!!",
        "12345678??",
        "dragon\N{GRINNING FACE}\N{GRINNING FACE}",
        "--password--",
        "passwor\u010f",
        "2026 monkey",
    ],
)
@on_sqlite
def test_simple_patterns_and_extended_words_are_rejected(client: TestClient, hashing: Bcrypt, password: str) -> None:
    assert sign_up(client, password) == (400, ["/body/password TOO_GUESSABLE"])
    assert hashing.hashed == []


@pytest.mark.parametrize("password", ["abababab", "my dragon 2026", "1schmetterlinge", "........x"])
def test_unlisted_words_with_digits_are_accepted(client: TestClient, password: str) -> None:
    assert sign_up(client, password) == (201, [])


@pytest.mark.parametrize(
    "password",
    ["charter2026!", "my Charter account", "CHARTERED FLIGHTS", "\uff23\uff28\uff21\uff32\uff34\uff25\uff32 wide"],
)
def test_passwords_with_the_service_name_are_rejected(client: TestClient, hashing: Bcrypt, password: str) -> None:
    assert sign_up(client, password) == (400, ["/body/password TOO_GUESSABLE"])
    assert hashing.hashed == []


@pytest.mark.parametrize(
    "password",
    [
        "goodname 4 ever",
        "--GoodName--",
        "\uff47oodname wide",
        "my local.part is it",
        "LOCAL.PART!!",
    ],
)
@on_sqlite
def test_passwords_with_names_of_the_user_are_rejected(client: TestClient, hashing: Bcrypt, password: str) -> None:
    form = {"username": "GoodName", "email": "Local.Part@example.com", "password": password}
    assert_problem(client.post("/api/v1/auth/signup", json=form), 409, "PASSWORD_CONTAINS_NAME")
    assert hashing.hashed == []


@pytest.mark.parametrize("password", ["good name 4 ever", "example.com rocks", "chart er of rights"])
def test_passwords_with_similar_words_are_accepted(client: TestClient, password: str) -> None:
    assert sign_up(client, password, "GoodName", "Local.Part@example.com") == (201, [])


def change(person: Person, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    return person.put("/api/v1/me/password", json={"current_password": current, "new_password": new})


def test_a_password_change_ends_other_sessions_and_the_old_password(
    alice: Person, bobby: Person, database: Database, events: Events
) -> None:
    others = [log_in_again(alice) for _ in range(3)]
    before = stored_hash(database)
    response = change(alice)
    assert (response.status_code, response.content) == (204, b"")
    recorded = events()[3:]
    assert [name for name, _ in recorded] == ["session_revoked"] * 3 + ["password_changed"]
    assert recorded[-1] == ("password_changed", {"user_id": alice.id})
    assert [session_state(other) for other in others] == [ENDED] * 3
    assert [session_state(alice), session_state(bobby)] == [ACTIVE, ACTIVE]
    assert stored_hash(database) != before
    elsewhere = Person(alice.client, "alice")
    assert [elsewhere.log_in().status_code, elsewhere.log_in(password=NEW).status_code] == [401, 200]
    assert Person(bobby.client, "bobby").log_in().status_code == 200


@pytest.mark.parametrize("wrong", [WRONG, PASSWORD.upper(), f"{PASSWORD} ", NEW, "x", "\N{GRINNING FACE}" * 128])
def test_a_password_change_requires_the_current_password(
    alice: Person, database: Database, events: Events, wrong: str
) -> None:
    phone, before = log_in_again(alice), stored_hash(database)
    response = change(alice, current=wrong)
    assert (response.status_code, response.json()) == (
        403,
        {
            "type": "about:blank",
            "title": "Forbidden",
            "status": 403,
            "detail": "The current password is wrong.",
            "code": "WRONG_PASSWORD",
        },
    )
    # The token is valid, so the response has no challenge.
    assert "www-authenticate" not in response.headers
    assert events()[1:] == [("password_change_failed", {"user_id": alice.id})]
    assert stored_hash(database) == before
    assert [session_state(alice), session_state(phone), alice.log_in().status_code] == [ACTIVE, ACTIVE, 200]


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("x7~Kq 2", "TOO_SHORT"),
        ("x" * 129, "TOO_LONG"),
        (COMMON[0].upper(), "TOO_GUESSABLE"),
        ("my Charter account", "TOO_GUESSABLE"),
    ],
)
def test_a_new_password_must_meet_the_rules_of_sign_up(alice: Person, database: Database, new: str, fault: str) -> None:
    phone, before = log_in_again(alice), stored_hash(database)
    response = change(alice, new=new)
    assert_problem(response, 400, "INVALID_INPUT")
    assert [(found["pointer"], found["code"]) for found in response.json()["errors"]] == [("/body/new_password", fault)]
    assert stored_hash(database) == before
    assert session_state(phone) == ACTIVE


def test_a_new_password_must_not_contain_the_username(alice: Person, database: Database) -> None:
    phone, before = log_in_again(alice), stored_hash(database)
    assert_problem(change(alice, new="\uff21LICE in chains"), 409, "PASSWORD_CONTAINS_NAME")
    assert stored_hash(database) == before
    assert session_state(phone) == ACTIVE


def test_the_current_password_may_have_another_unicode_form(client: TestClient) -> None:
    alice = Person(client, "alice", unicodedata.normalize("NFC", "Zo\u00eb's caf\u00e9"))
    alice.sign_up()
    alice.log_in()
    assert change(alice, current=unicodedata.normalize("NFD", alice.password)).status_code == 204


@pytest.mark.parametrize("name", ["id", "user_id", "password_hash", "username"])
def test_a_password_change_rejects_other_properties(alice: Person, bobby: Person, name: str) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW, name: bobby.id}
    assert alice.put("/api/v1/me/password", json=body).status_code == 400
    assert bobby.log_in().status_code == 200
