"""Passwords: which are taken, how they are kept, and what a log-in costs."""

import sqlite3
import unicodedata
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from typing import Literal

import bcrypt
import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.database import Database
from api.models import User
from tests.conftest import PASSWORD, Person

COMMON = (files("api.services") / "common_passwords.txt").read_text(encoding="utf-8").split()
WRONG = "not the right password"


class Bcrypt:
    """Stands in the door to bcrypt: does the work, remembers what it was asked, and can look around meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashed: list[str] = []
        self.checked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._hashpw, self._checkpw = bcrypt.hashpw, bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "hashpw", self.hashpw)
        monkeypatch.setattr(bcrypt, "checkpw", self.checkpw)

    def hashpw(self, password: bytes, salt: bytes) -> bytes:
        self.hashed.append(salt[:7].decode())
        self.meanwhile()
        return self._hashpw(password, salt)

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.checked.append(hashed[:7].decode())
        self.meanwhile()
        return self._checkpw(password, hashed)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Bcrypt:
    return Bcrypt(monkeypatch)


def sign_up(client: TestClient, password: str, username: str = "alice", email: str = "") -> tuple[int, list[str]]:
    """The status, and the faults of a refusal as pointer and code."""
    form = {"username": username, "email": email or f"{username}@example.com", "password": password}
    answer = client.post("/api/v1/auth/signup", json=form)
    return answer.status_code, [f"{fault['pointer']} {fault['code']}" for fault in answer.json().get("errors", [])]


def stored_hash(database: Database, username: str = "alice") -> str:
    with database.transaction() as db:
        return db.scalars(select(User.password_hash).where(User.username == username)).one()


@pytest.mark.parametrize(
    "password",
    [
        "x7~Kq 2#",
        "x" * 128,
        "\N{GRINNING FACE}" * 64,
        "\N{GRINNING FACE}" * 128,
        "     p4ssing   ",
        "\u0645\u0631\u062d\u0628\u0627\u0628\u0643\u0645",
        "tab\tnewline\nescape\x1b",
        "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 128,
    ],
)
def test_a_password_of_8_to_128_characters_of_any_kind_signs_up_and_logs_in(client: TestClient, password: str) -> None:
    alice = Person(client, "alice", password)
    assert alice.sign_up().status_code == 201
    assert alice.log_in().status_code == 200
    assert alice.log_in(password=password[:-1] + "!").status_code == 401


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("x7~Kq 2", "TOO_SHORT"),
        ("\N{GRINNING FACE}" * 7, "TOO_SHORT"),
        ("x" * 129, "TOO_LONG"),
        ("\N{GRINNING FACE}" * 129, "TOO_LONG"),
    ],
)
def test_characters_are_counted_not_bytes(client: TestClient, password: str, fault: str) -> None:
    assert sign_up(client, password) == (400, [f"/body/password {fault}"])


@pytest.mark.parametrize("shared", ["x" * 72, "\N{GRINNING FACE}" * 18, "x" * 127])
def test_passwords_that_begin_with_the_same_72_bytes_are_two(client: TestClient, shared: str) -> None:
    alice = Person(client, "alice", shared + "1")
    alice.sign_up()
    assert len(shared.encode()) >= 72
    assert [alice.log_in(password=shared + end).status_code for end in ("1", "2", "")] == [200, 401, 401]


@pytest.mark.parametrize("password", ["Zo\u00eb's caf\u00e9 \u212b\u1e69", "\uff30\uff41\uff53\uff53 \u2460 \ufb01ve"])
def test_every_unicode_spelling_of_a_password_logs_in_alike(client: TestClient, password: str) -> None:
    alice = Person(client, "alice", unicodedata.normalize("NFC", password))
    alice.sign_up()
    forms = {unicodedata.normalize(form, password) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) > 1
    assert {alice.log_in(password=form).status_code for form in forms} == {200}
    assert alice.log_in(password=password.upper()).status_code == 401


@pytest.mark.parametrize("operation", ["signup", "login"])
@pytest.mark.parametrize(("size", "status"), [(129, 400), (60_000, 400), (1_000_000, 413)])
def test_a_password_too_long_is_refused_without_hashing(
    client: TestClient, hashing: Bcrypt, operation: str, size: int, status: int
) -> None:
    form = Person(client, "alice", "x" * size).form
    if operation == "login":
        del form["email"]
    assert client.post(f"/api/v1/auth/{operation}", json=form).status_code == status
    assert (hashing.hashed, hashing.checked) == ([], [])


def test_text_too_long_is_refused_without_normalizing_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # To bring thousands of marks on one letter into order takes seconds.
    lengths = [0]
    normalize = unicodedata.normalize

    def measured(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", measured)
    marks = "e" + "\u0315\u0300" * 4000
    form = {"username": marks, "email": f"{marks}@example.com", "password": marks}
    answer = client.post("/api/v1/auth/signup", json=form)
    faults = {(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]}
    assert answer.status_code == 400
    assert {(f"/body/{name}", "TOO_LONG") for name in form} <= faults
    assert max(lengths) < 300


def test_the_stored_hash_tells_its_scheme_and_its_cost(alice: Person, database: Database, config: Config) -> None:
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


def test_the_database_files_hold_no_password_token_or_pepper(client: TestClient, config: Config) -> None:
    alice = Person(client, "alice", "Zo\u00eb's secret caf\u00e9")
    alice.sign_up()
    alice.log_in()
    alice.log_in(password=WRONG)
    alice.log_in()
    alice.log_out()
    kept = b"".join(file.read_bytes() for file in config.data_dir.glob("charter.db*"))
    assert b"alice@example.com" in kept
    texts = [alice.password, unicodedata.normalize("NFD", alice.password), WRONG, *alice.token.split(".")]
    secrets = [text.encode() for text in texts] + [config.pepper, config.secret]
    assert [secret for secret in secrets if secret in kept or secret.hex().encode() in kept] == []


@pytest.mark.parametrize("cost", [5, 6])
def test_a_hash_of_another_cost_is_renewed_at_log_in_and_only_then(
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
    assert hashing.hashed == [f"$2b${cost:02}$"]


@pytest.mark.parametrize("password", [*COMMON[:20], *COMMON[20::300]])
def test_common_passwords_are_refused(client: TestClient, password: str) -> None:
    spellings = [password, password.upper(), f" {password}  ", password.translate({ord("a"): "\uff41"})]
    assert [sign_up(client, each) for each in spellings] == [(400, ["/body/password TOO_GUESSABLE"])] * 4


def test_all_common_passwords_are_known_and_in_the_form_they_are_looked_up_in(client: TestClient) -> None:
    assert len(set(COMMON)) == 3000
    assert [p for p in COMMON if len(p) < 8 or unicodedata.normalize("NFKC", p).casefold() != p] == []
    slice_ = COMMON[1000:1100]
    assert [p for p in slice_ if sign_up(client, p) != (400, ["/body/password TOO_GUESSABLE"])] == []


@pytest.mark.parametrize(
    "password",
    [
        "charter2026!",
        "my Charter account",
        "CHARTERED FLIGHTS",
        "\uff23\uff28\uff21\uff32\uff34\uff25\uff32 wide",
        "goodname 4 ever",
        "--GoodName--",
        "\uff47oodname wide",
        "my local.part is it",
        "LOCAL.PART!!",
    ],
)
def test_a_password_holds_neither_the_service_nor_the_username_nor_the_local_part(
    client: TestClient, hashing: Bcrypt, password: str
) -> None:
    answer = sign_up(client, password, "GoodName", "Local.Part@example.com")
    assert answer == (400, ["/body/password TOO_GUESSABLE"])
    assert hashing.hashed == []


@pytest.mark.parametrize("password", ["good name 4 ever", "example.com rocks", "chart er of rights"])
def test_a_password_may_hold_what_a_stranger_would_not_try_first(client: TestClient, password: str) -> None:
    assert sign_up(client, password, "GoodName", "Local.Part@example.com") == (201, [])


def test_a_log_in_costs_one_check_whoever_is_asked_for(alice: Person, hashing: Bcrypt) -> None:
    names = ["alice", "alice@example.com", "nobody", "nobody@example.com", "\u0130", "x" * 254]
    answers = [alice.log_in(username=name, password=WRONG) for name in names]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert [answer.status_code for answer in answers] == [401] * len(names)
    assert hashing.checked == ["$2b$04$"] * len(names)
    assert hashing.hashed == []


def test_nobody_waits_for_the_database_while_a_password_is_hashed(
    client: TestClient, config: Config, database: Database, hashing: Bcrypt
) -> None:
    locked = []

    def try_to_write() -> None:
        with closing(sqlite3.connect(str(config.database_url.database), timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                locked.append(str(error))

    hashing.meanwhile = try_to_write
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 201
    with TestClient(create_app(replace(config, bcrypt_cost=5))) as later:
        alice = Person(later, "alice")
        assert [alice.log_in(password=WRONG).status_code, alice.log_in().status_code] == [401, 200]
    assert (hashing.hashed, hashing.checked) == (["$2b$04$", "$2b$05$"], ["$2b$04$"] * 2)
    assert locked == []


def test_a_damaged_hash_lets_nobody_in(alice: Person, database: Database) -> None:
    with database.transaction() as db:
        db.execute(update(User).values(password_hash="hmac-sha384-nfkc:"))
    answer = alice.log_in(password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
