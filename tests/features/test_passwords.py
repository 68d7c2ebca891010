"""Passwords: which are taken, how they are kept, what a log-in costs, and how they are changed."""

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
from tests.features.test_sessions import IN, OUT, again, is_in, said, session_of
from tests.support.bcrypt_spy import Bcrypt
from tests.support.charter import beside
from tests.support.concurrency import at_once
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.types import Events
from tests.support.workers import disable, kept

COMMON = (files("api.services") / "common_passwords.txt").read_text(encoding="utf-8").split()
WRONG = "not the right password"
NEW = "a better battery for this horse"


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


def test_the_database_holds_nothing_secret_but_digests(client: TestClient, config: Config) -> None:
    alice = Person(client, "alice", "Zo\u00eb's secret caf\u00e9")
    told: list[str] = [alice.password, unicodedata.normalize("NFD", alice.password), WRONG, NEW]
    alice.sign_up()
    for act in (alice.log_in, alice.refresh, alice.refresh, partial(change, alice, alice.password), alice.refresh):
        act()
        told += [alice.refresh_token, *alice.token.split(".")]
    alice.log_in(password=WRONG)
    Person(client, "alice").log_in(password=NEW)
    dump = kept(config)
    assert b"alice@example.com" in dump
    assert hashlib.sha256(told[4].encode()).digest() in dump
    secrets = [text.encode() for text in told] + [config.pepper, config.secret]
    # A refresh token's bytes, and the half of them that all tokens of the session have.
    raw = [base64.urlsafe_b64decode(token) for token in told if len(token) == 64]
    secrets += [part for token in raw for part in (token, token[:16], token[16:])]
    assert [secret for secret in secrets if secret in dump or secret.hex().encode() in dump] == []


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


def is_locked(config: Config) -> bool:
    """Whether somebody who writes now has to wait; with PostgreSQL, may have to: whether a transaction is open."""
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


def test_nobody_waits_for_the_database_while_a_password_is_hashed(
    client: TestClient, config: Config, hashing: Bcrypt
) -> None:
    locked: list[bool] = []
    hashing.meanwhile = lambda: locked.append(is_locked(config))
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 201
    with TestClient(create_app(replace(config, bcrypt_cost=5))) as later:
        alice = Person(later, "alice")
        assert [alice.log_in(password=WRONG).status_code, alice.log_in().status_code] == [401, 200]
    assert (hashing.hashed, hashing.checked) == (["$2b$04$", "$2b$05$"], ["$2b$04$"] * 2)
    assert locked == [False] * 4


def test_a_damaged_hash_lets_nobody_in(alice: Person, database: Database) -> None:
    with database.transaction() as db:
        db.execute(update(User).values(password_hash="hmac-sha384-nfkc:"))
    answer = alice.log_in(password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")


def change(person: Person, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    return person.put("/api/v1/me/password", json={"current_password": current, "new_password": new})


def test_changing_the_password_ends_every_other_session_and_the_old_password(
    alice: Person, bobby: Person, database: Database, events: Events
) -> None:
    others = [again(alice) for _ in range(3)]
    before = stored_hash(database)
    answer = change(alice)
    assert (answer.status_code, answer.content) == (204, b"")
    told = events()[3:]
    assert [name for name, _ in told] == ["session_revoked"] * 3 + ["password_changed"]
    assert told[-1] == ("password_changed", {"user_id": alice.id})
    assert [is_in(other) for other in others] == [OUT] * 3
    assert [is_in(alice), is_in(bobby)] == [IN, IN]
    assert stored_hash(database) != before
    elsewhere = Person(alice.client, "alice")
    assert [elsewhere.log_in().status_code, elsewhere.log_in(password=NEW).status_code] == [401, 200]
    assert Person(bobby.client, "bobby").log_in().status_code == 200


@pytest.mark.parametrize("wrong", [WRONG, PASSWORD.upper(), f"{PASSWORD} ", NEW, "x", "\N{GRINNING FACE}" * 128])
def test_changing_the_password_takes_the_current_one(
    alice: Person, database: Database, events: Events, wrong: str
) -> None:
    phone, before = again(alice), stored_hash(database)
    answer = change(alice, current=wrong)
    assert (answer.status_code, answer.json()) == (
        403,
        {
            "type": "about:blank",
            "title": "Forbidden",
            "status": 403,
            "detail": "The current password is wrong.",
            "code": "WRONG_PASSWORD",
        },
    )
    # It is the password that is wrong, not the token.
    assert "www-authenticate" not in answer.headers
    assert events()[1:] == [("password_change_failed", {"user_id": alice.id})]
    assert stored_hash(database) == before
    assert [is_in(alice), is_in(phone), alice.log_in().status_code] == [IN, IN, 200]


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
def test_a_new_password_keeps_the_rules_of_sign_up(alice: Person, database: Database, new: str, fault: str) -> None:
    phone, before = again(alice), stored_hash(database)
    answer = change(alice, new=new)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")
    assert [(found["pointer"], found["code"]) for found in answer.json()["errors"]] == [("/body/new_password", fault)]
    assert stored_hash(database) == before
    assert is_in(phone) == IN


def test_the_current_password_may_be_spelled_in_every_unicode_form(client: TestClient) -> None:
    alice = Person(client, "alice", unicodedata.normalize("NFC", "Zo\u00eb's caf\u00e9"))
    alice.sign_up()
    alice.log_in()
    assert change(alice, current=unicodedata.normalize("NFD", alice.password)).status_code == 204


@pytest.mark.parametrize("name", ["id", "user_id", "password_hash", "username"])
def test_a_change_is_of_nothing_but_the_password(alice: Person, bobby: Person, name: str) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW, name: bobby.id}
    assert alice.put("/api/v1/me/password", json=body).status_code == 400
    assert bobby.log_in().status_code == 200


def once(action: Callable[[], object]) -> Callable[[], None]:
    """Does it at the first call, and nothing at those that follow or come from it."""
    actions = [action]

    def act() -> None:
        while actions:
            actions.pop()()

    return act


@pytest.fixture
def renewing(alice: Person, config: Config) -> Iterator[TestClient]:
    """The service after the cost of a hash was raised: alice's is stale."""
    with TestClient(create_app(replace(config, bcrypt_cost=5)), client=("127.0.0.1", 50_000)) as later:
        yield later


def test_who_logs_in_while_the_same_user_does_is_let_in_though_both_renew_the_hash(
    renewing: TestClient, config: Config, hashing: Bcrypt
) -> None:
    one, two = Person(renewing, "alice"), Person(renewing, "alice")
    two_logs_in, locked = once(two.log_in), []

    def meanwhile() -> None:
        two_logs_in()
        locked.append(is_locked(config))

    hashing.meanwhile = meanwhile
    assert one.log_in().status_code == 200
    # The second check, of the hash that was renewed, holds nobody up either.
    assert hashing.checked[-1] == "$2b$05$"
    assert not any(locked)
    assert [is_in(one), is_in(two)] == [IN, IN]


def test_a_change_holds_though_a_log_in_renews_the_hash_meanwhile(renewing: TestClient, hashing: Bcrypt) -> None:
    alice, other = Person(renewing, "alice"), Person(renewing, "alice")
    alice.log_in()
    hashing.meanwhile = once(other.log_in)
    assert change(alice).status_code == 204
    assert [is_in(alice), is_in(other)] == [IN, OUT]


def test_who_logs_in_with_the_password_that_is_changed_meanwhile_is_refused(alice: Person, hashing: Bcrypt) -> None:
    late = Person(alice.client, "alice")
    hashing.meanwhile = once(lambda: change(alice))
    assert (late.log_in().status_code, late.token) == (401, "")
    assert is_in(alice) == IN
    assert late.log_in(password=NEW).status_code == 200


def test_of_two_changes_at_once_the_first_holds(alice: Person, hashing: Bcrypt, events: Events) -> None:
    late = again(alice)
    hashing.meanwhile = once(lambda: change(alice, new="the first of two changes"))
    answer = change(late)
    assert (answer.status_code, answer.json()["code"]) == (403, "WRONG_PASSWORD")
    assert [is_in(alice), is_in(late)] == [IN, OUT]
    assert [late.log_in(password=new).status_code for new in (NEW, "the first of two changes")] == [401, 200]
    assert [name for name, _ in events()].count("password_changed") == 1


def test_a_session_that_is_revoked_meanwhile_changes_no_password_and_ends_no_other(
    alice: Person, hashing: Bcrypt, database: Database
) -> None:
    thief, before = again(alice), stored_hash(database)
    hashing.meanwhile = once(partial(alice.delete, f"/api/v1/sessions/{session_of(thief)}"))
    answer = change(thief)
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    assert stored_hash(database) == before
    assert is_in(alice) == IN


def test_who_is_disabled_meanwhile_neither_logs_in_nor_changes_the_password(
    alice: Person, config: Config, hashing: Bcrypt, database: Database
) -> None:
    late, before = Person(alice.client, "alice"), stored_hash(database)
    hashing.meanwhile = once(partial(disable, config, "alice"))
    assert late.log_in().status_code == 401
    with database.transaction() as db:
        users.enable(db, "alice")
    late.log_in()
    hashing.meanwhile = once(partial(disable, config, "alice"))
    answer = change(late)
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    assert stored_hash(database) == before


def test_who_is_disabled_is_out_and_gets_the_answer_to_a_wrong_password(
    config: Config, server: str, tmp_path: Path
) -> None:
    charter = beside(config)
    with httpx.Client(base_url=server) as client:
        alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
        phone, wrong = again(alice), said(bobby.log_in(password=WRONG))
        assert [is_in(person) for person in (alice, phone)] == [IN, IN]
        ended = Person(client, "alice", token=phone.token, refresh_token=phone.refresh_token)
        result = charter.run("users", "disable", "Alice@example.com")
        sleep(0.1)
        assert (result.returncode, result.stdout) == (0, "alice is disabled.\n")
        assert [is_in(person) for person in (alice, phone)] == [OUT, OUT]
        assert [said(alice.log_in(password=password)) for password in (PASSWORD, WRONG)] == [wrong, wrong]
        assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == [
            "session_revoked",
            "session_revoked",
            "user_disabled",
        ]
        assert bobby.log_in().status_code == 200
        assert charter.run("users", "enable", "alice").stdout == "alice is enabled.\n"
        assert alice.log_in().status_code == 200
        assert [is_in(person) for person in (alice, ended)] == [IN, OUT]


def test_nobody_is_disabled_by_a_name_that_nobody_has(config: Config, tmp_path: Path) -> None:
    charter = beside(config)
    for verb in ("disable", "enable"):
        result = charter.run("users", verb, "nobody")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == "Error: no such user: nobody\n"


def test_the_log_in_of_a_disabled_user_costs_one_check_though_the_hash_is_stale(
    renewing: TestClient, config: Config, hashing: Bcrypt, events: Events
) -> None:
    disable(config, "alice")
    alice = Person(renewing, "alice")
    answers = [alice.log_in(password=password) for password in (PASSWORD, WRONG)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert said(answers[0]) == said(answers[1])
    assert (hashing.checked, hashing.hashed) == (["$2b$04$"] * 2, [])
    assert [name for name, _ in events()] == ["session_revoked", "user_disabled", *["log_in_failed"] * 2]


ROUNDS = [f"alice{number}" for number in range(10)]


def test_no_session_outlives_the_password_that_it_began_with(server: str) -> None:
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            alice = newcomer(client, username)
            others = [Person(client, username) for _ in range(6)]
            changed, *granted = at_once(partial(change, alice), *(other.log_in for other in others))
            assert changed.status_code == 204
            assert {answer.status_code for answer in granted} <= {200, 401}
            assert {is_in(other) for other in others if other.token} <= {OUT}
            assert is_in(alice) == IN
            assert [alice.log_in(password=password).status_code for password in (PASSWORD, NEW)] == [401, 200]


def test_of_many_changes_at_once_one_holds(server: str) -> None:
    wanted = [f"{NEW} {number}" for number in range(6)]
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            people = [newcomer(client, username)]
            people += [again(people[0]) for _ in wanted[1:]]
            calls = [partial(change, person, new=new) for person, new in zip(people, wanted, strict=True)]
            statuses = [answer.status_code for answer in at_once(*calls)]
            assert set(statuses) <= {204, 401, 403}
            won = [status == 204 for status in statuses]
            assert sum(won) == 1
            assert [is_in(person) for person in people] == [IN if each else OUT for each in won]
            tries = [people[0].log_in(password=new).status_code for new in (*wanted, PASSWORD)]
            assert tries == [200 if each else 401 for each in (*won, False)]


def test_no_session_outlives_the_disabling_of_its_user(config: Config, server: str) -> None:
    for username in ROUNDS:
        with httpx.Client(base_url=server) as client:
            people = [newcomer(client, username), *(Person(client, username) for _ in range(6))]
            at_once(partial(disable, config, username), *(person.log_in for person in people[1:]))
            # So long it may take until another process knows.
            sleep(0.1)
            assert {is_in(person) for person in people if person.token} == {OUT}
            assert people[0].log_in().status_code == 401
