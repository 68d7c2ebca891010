"""The rules for passwords, and the password change."""

import base64
import hashlib
import json
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import sleep
from typing import Literal

import httpx
import pytest
from sqlalchemy import create_engine, select, text, update
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.models import User
from api.services import users
from api.storage.database import Database
from tests.features.test_sessions import ACTIVE, ENDED, comparable, log_in_again, session_of, session_state
from tests.support.bcrypt_spy import Bcrypt
from tests.support.charter import beside
from tests.support.concurrency import at_once
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events
from tests.support.workers import disable, kept

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
def test_any_password_of_8_to_128_characters_works(client: TestClient, password: str) -> None:
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
def test_too_long_a_password_is_rejected_without_hashing(
    client: TestClient, hashing: Bcrypt, operation: str, size: int, status: int
) -> None:
    form = Person(client, "alice", "x" * size).form
    if operation == "login":
        del form["email"]
    assert client.post(f"/api/v1/auth/{operation}", json=form).status_code == status
    assert (hashing.hashed, hashing.checked) == ([], [])


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
    alice.log_in(password=WRONG)
    Person(client, "alice").log_in(password=NEW)
    dump = kept(config)
    assert b"alice@example.com" in dump
    assert hashlib.sha256(sent[4].encode()).digest() in dump
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
    assert hashing.hashed == [f"$2b${cost:02}$"]


@pytest.mark.parametrize("password", [*COMMON[:20], *COMMON[20::300]])
def test_common_passwords_are_rejected(client: TestClient, password: str) -> None:
    spellings = [password, password.upper(), f" {password}  ", password.translate({ord("a"): "\uff41"})]
    assert [sign_up(client, each) for each in spellings] == [(400, ["/body/password TOO_GUESSABLE"])] * 4


def test_the_list_of_common_passwords_is_complete_and_normalized(client: TestClient) -> None:
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
def test_passwords_with_service_or_user_names_are_rejected(client: TestClient, hashing: Bcrypt, password: str) -> None:
    response = sign_up(client, password, "GoodName", "Local.Part@example.com")
    assert response == (400, ["/body/password TOO_GUESSABLE"])
    assert hashing.hashed == []


@pytest.mark.parametrize("password", ["good name 4 ever", "example.com rocks", "chart er of rights"])
def test_passwords_with_similar_words_are_accepted(client: TestClient, password: str) -> None:
    assert sign_up(client, password, "GoodName", "Local.Part@example.com") == (201, [])


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


def test_hashing_a_password_holds_no_transaction(client: TestClient, config: Config, hashing: Bcrypt) -> None:
    locked: list[bool] = []
    hashing.meanwhile = lambda: locked.append(is_locked(config))
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 201
    with TestClient(create_app(replace(config, bcrypt_cost=5))) as later:
        alice = Person(later, "alice")
        assert [alice.log_in(password=WRONG).status_code, alice.log_in().status_code] == [401, 200]
    assert (hashing.hashed, hashing.checked) == (["$2b$04$", "$2b$05$"], ["$2b$04$"] * 2)
    assert locked == [False] * 4


def test_log_in_with_a_damaged_hash_fails(alice: Person, database: Database) -> None:
    with database.transaction() as db:
        db.execute(update(User).values(password_hash="hmac-sha384-nfkc:"))
    response = alice.log_in(password=PASSWORD)
    assert_problem(response, 500, "INTERNAL_ERROR")


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
    # The token is valid, so there is no challenge.
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
        ("\uff21LICE in chains", "TOO_GUESSABLE"),
    ],
)
def test_a_new_password_must_meet_the_rules_of_sign_up(alice: Person, database: Database, new: str, fault: str) -> None:
    phone, before = log_in_again(alice), stored_hash(database)
    response = change(alice, new=new)
    assert_problem(response, 400, "INVALID_INPUT")
    assert [(found["pointer"], found["code"]) for found in response.json()["errors"]] == [("/body/new_password", fault)]
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


def once(action: Callable[[], object]) -> Callable[[], None]:
    """Return a function that runs the action at its first call only, even if the action calls it."""
    actions = [action]

    def act() -> None:
        while actions:
            actions.pop()()

    return act


@pytest.fixture
def renewing(alice: Person, config: Config) -> Iterator[TestClient]:
    """The service after an increase of the hash cost, which makes alice's hash stale."""
    with TestClient(create_app(replace(config, bcrypt_cost=5)), client=("127.0.0.1", 50_000)) as later:
        yield later


def test_concurrent_log_ins_succeed_when_both_renew_the_hash(
    renewing: TestClient, config: Config, hashing: Bcrypt
) -> None:
    one, two = Person(renewing, "alice"), Person(renewing, "alice")
    two_logs_in, locked = once(two.log_in), []

    def meanwhile() -> None:
        two_logs_in()
        locked.append(is_locked(config))

    hashing.meanwhile = meanwhile
    assert one.log_in().status_code == 200
    # The second check, which uses the renewed hash, holds no transaction either.
    assert hashing.checked[-1] == "$2b$05$"
    assert not any(locked)
    assert [session_state(one), session_state(two)] == [ACTIVE, ACTIVE]


def test_a_password_change_survives_a_concurrent_renewal_of_the_hash(renewing: TestClient, hashing: Bcrypt) -> None:
    alice, other = Person(renewing, "alice"), Person(renewing, "alice")
    alice.log_in()
    hashing.meanwhile = once(other.log_in)
    assert change(alice).status_code == 204
    assert [session_state(alice), session_state(other)] == [ACTIVE, ENDED]


def test_a_log_in_fails_if_the_password_changes_during_it(alice: Person, hashing: Bcrypt) -> None:
    late = Person(alice.client, "alice")
    hashing.meanwhile = once(lambda: change(alice))
    assert (late.log_in().status_code, late.token) == (401, "")
    assert session_state(alice) == ACTIVE
    assert late.log_in(password=NEW).status_code == 200


def test_the_first_of_two_password_changes_wins(alice: Person, hashing: Bcrypt, events: Events) -> None:
    late = log_in_again(alice)
    hashing.meanwhile = once(lambda: change(alice, new="the first of two changes"))
    response = change(late)
    assert_problem(response, 403, "WRONG_PASSWORD")
    assert [session_state(alice), session_state(late)] == [ACTIVE, ENDED]
    assert [late.log_in(password=new).status_code for new in (NEW, "the first of two changes")] == [401, 200]
    assert [name for name, _ in events()].count("password_changed") == 1


def test_a_password_change_fails_if_its_session_is_revoked_during_it(
    alice: Person, hashing: Bcrypt, database: Database
) -> None:
    thief, before = log_in_again(alice), stored_hash(database)
    hashing.meanwhile = once(partial(alice.delete, f"/api/v1/sessions/{session_of(thief)}"))
    response = change(thief)
    assert_problem(response, 401, "INVALID_TOKEN")
    assert stored_hash(database) == before
    assert session_state(alice) == ACTIVE


def test_disabling_a_user_fails_requests_already_in_progress(
    alice: Person, config: Config, hashing: Bcrypt, database: Database
) -> None:
    late, before = Person(alice.client, "alice"), stored_hash(database)
    hashing.meanwhile = once(partial(disable, config, "alice"))
    assert late.log_in().status_code == 401
    with database.transaction() as db:
        users.enable(db, "alice")
    late.log_in()
    hashing.meanwhile = once(partial(disable, config, "alice"))
    response = change(late)
    assert_problem(response, 401, "INVALID_TOKEN")
    assert stored_hash(database) == before


def test_a_disabled_user_gets_the_response_to_a_wrong_password(config: Config, server: str, tmp_path: Path) -> None:
    charter = beside(config)
    with httpx.Client(base_url=server) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        phone, wrong = log_in_again(alice), comparable(bobby.log_in(password=WRONG))
        assert [session_state(person) for person in (alice, phone)] == [ACTIVE, ACTIVE]
        ended = Person(client, "alice", token=phone.token, refresh_token=phone.refresh_token)
        result = charter.run("users", "disable", "Alice@example.com")
        sleep(0.1)
        assert (result.returncode, result.stdout) == (0, "alice is disabled.\n")
        assert [session_state(person) for person in (alice, phone)] == [ENDED, ENDED]
        assert [comparable(alice.log_in(password=password)) for password in (PASSWORD, WRONG)] == [wrong, wrong]
        assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == [
            "session_revoked",
            "session_revoked",
            "user_disabled",
        ]
        assert bobby.log_in().status_code == 200
        assert charter.run("users", "enable", "alice").stdout == "alice is enabled.\n"
        assert alice.log_in().status_code == 200
        assert [session_state(person) for person in (alice, ended)] == [ACTIVE, ENDED]


def test_disabling_an_unknown_user_fails(config: Config, tmp_path: Path) -> None:
    charter = beside(config)
    for verb in ("disable", "enable"):
        result = charter.run("users", verb, "unknown")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == "Error: no such user: unknown\n"


def test_log_in_of_a_disabled_user_costs_one_check_of_a_stale_hash(
    renewing: TestClient, config: Config, hashing: Bcrypt, events: Events
) -> None:
    disable(config, "alice")
    alice = Person(renewing, "alice")
    responses = [alice.log_in(password=password) for password in (PASSWORD, WRONG)]
    assert [response.status_code for response in responses] == [401, 401]
    assert comparable(responses[0]) == comparable(responses[1])
    assert (hashing.checked, hashing.hashed) == (["$2b$04$"] * 2, [])
    assert [name for name, _ in events()] == ["session_revoked", "user_disabled", *["log_in_failed"] * 2]


ROUNDS = [f"alice{number}" for number in range(10)]


def test_no_session_survives_a_concurrent_password_change(server: str) -> None:
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            alice = newcomer(client, username)
            others = [Person(client, username) for _ in range(6)]
            changed, *granted = at_once(partial(change, alice), *(other.log_in for other in others))
            assert changed.status_code == 204
            assert {response.status_code for response in granted} <= {200, 401}
            assert {session_state(other) for other in others if other.token} <= {ENDED}
            assert session_state(alice) == ACTIVE
            assert [alice.log_in(password=password).status_code for password in (PASSWORD, NEW)] == [401, 200]


def test_one_of_many_concurrent_password_changes_wins(server: str) -> None:
    wanted = [f"{NEW} {number}" for number in range(6)]
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            people = [newcomer(client, username)]
            people += [log_in_again(people[0]) for _ in wanted[1:]]
            calls = [partial(change, person, new=new) for person, new in zip(people, wanted, strict=True)]
            statuses = [response.status_code for response in at_once(*calls)]
            assert set(statuses) <= {204, 401, 403}
            won = [status == 204 for status in statuses]
            assert sum(won) == 1
            assert [session_state(person) for person in people] == [ACTIVE if each else ENDED for each in won]
            tries = [people[0].log_in(password=new).status_code for new in (*wanted, PASSWORD)]
            assert tries == [200 if each else 401 for each in (*won, False)]


def test_no_session_survives_the_disabling_of_its_user(config: Config, server: str) -> None:
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            people = [newcomer(client, username), *(Person(client, username) for _ in range(6))]
            at_once(partial(disable, config, username), *(person.log_in for person in people[1:]))
            # A change reaches other processes within 100 ms.
            sleep(0.1)
            assert {session_state(person) for person in people if person.token} == {ENDED}
            assert people[0].log_in().status_code == 401
