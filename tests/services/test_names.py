"""Usernames and emails: when two are equal, and what happens if one is in use."""

import sys
import threading
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from idna.idnadata import codepoint_classes
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.services.names import canonical
from api.storage.database import Database
from tests.support.databases import on_sqlite
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person
from tests.support.rows import count
from tests.support.serving import serving

PVALID = codepoint_classes["PVALID"]
ROUNDS = 50
PARALLEL = 20


def sign_up(client: httpx.Client, username: str, email: str) -> tuple[int, str | None]:
    """Return the status, and the code of an error."""
    form = {"username": username, "email": email, "password": PASSWORD}
    response = client.post("/api/v1/auth/signup", json=form)
    return response.status_code, response.json().get("code")


@pytest.mark.parametrize("username", ["Under_Score9", "UNDER_SCORE9", "under_score9", "uNdEr_ScOrE9"])
def test_usernames_are_case_insensitive(client: TestClient, username: str) -> None:
    assert sign_up(client, "Under_Score9", "first@example.com") == (201, None)
    assert sign_up(client, username, "second@example.com") == (409, "USERNAME_TAKEN")


@pytest.mark.parametrize(
    "username", [" alice", "alice ", "alice\u3000", "\uff41lice", "\u212aelvin", "al\u00adice", "alic\u0435"]
)
@on_sqlite
def test_a_username_with_lookalike_characters_is_rejected(client: TestClient, username: str) -> None:
    assert sign_up(client, username, "first@example.com") == (400, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Alice@Example.com", "alice@example.COM"),
        ("stra\u00dfe@example.com", "STRASSE@example.com"),
        ("zo\u00eb@example.com", "zoe\u0308@example.com"),
        ("ZO\u00cb@example.com", "zo\u00eb@example.com"),
        ("kelvin@example.com", "\u212aelvin@example.com"),
        ("\uff57\uff49\uff44\uff45@example.com", "wide@example.com"),
        ("\ufb01fi@example.com", "FIFI@example.com"),
        (
            "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2@example.com",
            "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3@example.com",
        ),
        ("alice@b\u00fccher.example.com", "alice@xn--bcher-kva.example.com"),
        ("alice@B\u00dcCHER.example.com", "alice@b\u00fccher.example.com"),
        ("alice@stra\u00dfe.de", "alice@xn--strae-oqa.de"),
        ("alice@stra\u00dfe.de", "ALICE@STRA\u1e9eE.de"),
    ],
)
def test_two_spellings_of_an_email_are_one(client: TestClient, first: str, second: str) -> None:
    assert sign_up(client, "first", first) == (201, None)
    assert sign_up(client, "second", second) == (409, "EMAIL_TAKEN")
    assert Person(client, first).log_in().status_code == 200
    assert Person(client, second).log_in().status_code == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a@straße.de", "a@strasse.de"),
        ("a@strasse.de", "a@straße.de"),
        ("a@STRAẞE.de", "a@strasse.de"),
        ("a@xn--strae-oqa.de", "a@strasse.de"),
        ("a@σίσυφος.gr", "a@σίσυφοσ.gr"),
    ],
)
def test_two_domains_by_idna_2008_are_two_accounts(client: TestClient, first: str, second: str) -> None:
    assert sign_up(client, "first", first) == (201, None)
    assert Person(client, second).log_in().status_code == 401
    assert sign_up(client, "second", second) == (201, None)
    for username, email in (("first", first), ("second", second)):
        person = Person(client, email)
        assert person.log_in().status_code == 200
        assert person.get("/api/v1/me").json()["username"] == username


def test_only_two_letters_of_domains_have_another_canonical_form() -> None:
    # Migration 0005 relies on this.
    valid = (chr(code) for range_ in PVALID for code in range(range_ >> 32, range_ & 0xFFFFFFFF))
    assert {letter for letter in valid if canonical(letter) != letter} == {"ß", "ς"}


@pytest.mark.parametrize(
    "email", [" alice@example.com", "alice@example.com ", "alice@example.com\n", "\u3000alice@example.com"]
)
@on_sqlite
def test_an_email_with_surrounding_space_is_rejected(client: TestClient, email: str) -> None:
    assert sign_up(client, "alice", email) == (400, "INVALID_INPUT")


@pytest.mark.parametrize("email", ["\uff0e@example.com", "a\uff20b@example.com", "\ufdfa@example.com"])
@on_sqlite
def test_an_email_with_an_invalid_canonical_form_is_rejected(client: TestClient, email: str) -> None:
    assert sign_up(client, "alice", email) == (400, "INVALID_INPUT")


@pytest.mark.parametrize(
    "email", ["alice+x@example.com", "al.ice@example.com", "alice@example.org", "alise@example.com"]
)
def test_different_emails_stay_different(client: TestClient, alice: Person, email: str) -> None:
    assert sign_up(client, "carol", email) == (201, None)


@pytest.mark.parametrize("name", ["ALICE", " alice\t", "\uff41\uff4c\uff49\uff43\uff45", "\u3000Alice@EXAMPLE.com\n"])
def test_logging_in_accepts_every_spelling_of_a_name(alice: Person, name: str) -> None:
    assert alice.log_in(username=name).status_code == 200


@pytest.mark.parametrize(
    "name", ["alic", "alice@", "@example.com", "alice%", "a%", "al_ce", "alice'--", "ali ce", "al\u0131ce", " "]
)
def test_logging_in_rejects_a_name_that_is_nearly_right(alice: Person, name: str) -> None:
    assert alice.log_in(username=name).status_code == 401


def test_the_profile_shows_a_name_as_it_was_given(client: TestClient) -> None:
    sign_up(client, "AliceInChains", "Zoe\u0308@B\u00dcCHER.example.com")
    alice = Person(client, "aliceinchains")
    alice.log_in()
    shown = alice.get("/api/v1/me").json()
    assert (shown["username"], shown["email"]) == ("AliceInChains", "Zo\u00eb@b\u00fccher.example.com")


def test_an_error_names_the_field_in_use_even_for_odd_names(client: TestClient) -> None:
    for username in ("email_key", "uq_users_email_key"):
        assert sign_up(client, username, f"{username}@example.com") == (201, None)
        assert sign_up(client, username, "other@example.com") == (409, "USERNAME_TAKEN")


@pytest.mark.slow
def test_a_canonical_form_is_normalized_and_its_own_canonical_form() -> None:
    texts = [f"a{chr(code)}b{chr(code)}" for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    forms = {canonical(text) for text in texts}
    assert [form for form in forms if not unicodedata.is_normalized("NFKC", form) or canonical(form) != form] == []


@pytest.mark.slow
def test_exactly_one_of_several_parallel_sign_ups_succeeds(config: Config, database: Database) -> None:
    start = threading.Barrier(PARALLEL)
    # The bulkhead has room for all of them, so none is rejected, however busy the machine is.
    app = create_app(replace(config, hashes=PARALLEL))

    def take_part(_: int) -> list[tuple[int, str | None]]:
        with httpx.Client(base_url=server) as client:
            return [_sign_up_at(client, start, number) for number in range(ROUNDS)]

    with serving(app) as server, ThreadPoolExecutor(PARALLEL) as pool:
        parts = list(pool.map(take_part, range(PARALLEL)))
    rounds = [Counter(status for status, _ in responses) for responses in zip(*parts, strict=True)]
    assert rounds == [Counter({201: 1, 409: PARALLEL - 1})] * ROUNDS
    assert {code for part in parts for status, code in part} <= {None, "USERNAME_TAKEN", "EMAIL_TAKEN"}
    assert count(database, models.users) == ROUNDS


def _sign_up_at(client: httpx.Client, start: threading.Barrier, number: int) -> tuple[int, str | None]:
    start.wait(timeout=PATIENCE_SECONDS)
    return sign_up(client, f"user{number}", f"user{number}@example.com")
