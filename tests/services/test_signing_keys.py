"""Signing keys: their states (next, active, retired), what is published, and what the database stores."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api import clock, models
from api.app import create_app
from api.config import Config
from api.crypto.signing_keys import ALGORITHMS, KeyCipher, SigningKey, generate
from api.errors import NotFound
from api.services import signing_keys
from api.services.signing_keys import Keyring, KeyRow, State
from api.storage.database import Database
from tests.support.charter import Charter, beside
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.forged_tokens import decode
from tests.support.person import Person, newcomer
from tests.support.scopes import USER_SCOPE
from tests.support.types import Travel
from tests.support.workers import at, stored_bytes, worker

LIFETIME = 900
JWKS = "/.well-known/jwks.json"
INVALID = (401, "INVALID_TOKEN")


@pytest.fixture
def keyring(config: Config) -> Keyring:
    return keyring_of(config)


def keyring_of(config: Config) -> Keyring:
    return Keyring(config.secret, config.signing_algorithm, config.access_token_seconds)


@pytest.fixture
def charter(config: Config) -> Charter:
    """Return the command, for the database of the application."""
    return beside(config)


@pytest.fixture
def there(config: Config) -> Iterator[TestClient]:
    """Yield a client of another process of the same service."""
    with worker(config) as client:
        yield client


def rotate(database: Database, keyring: Keyring) -> str:
    """Rotate, and return the id of the key that signs from now on."""
    with database.transaction() as db:
        return signing_keys.rotate(db, keyring).id


def states(database: Database) -> dict[str, State]:
    with database.transaction() as db:
        return {row.id: signing_keys.state(row) for row in signing_keys.list_all(db)}


def signer(database: Database, keyring: Keyring) -> str:
    with database.transaction() as db:
        return keyring.signing(db).id


def kid(person: Person) -> str:
    return str(json.loads(decode(person.token.split(".")[0]))["kid"])


def published(client: TestClient) -> set[str]:
    return {key["kid"] for key in client.get(JWKS).json()["keys"]}


def seen(person: Person) -> tuple[int, str | None]:
    response = person.get("/protected")
    return response.status_code, response.json().get("code")


def test_a_key_is_published_before_it_signs_and_until_its_tokens_expire(
    client: TestClient, alice: Person, database: Database, keyring: Keyring, travel: Travel
) -> None:
    first, before = kid(alice), published(client)
    [following] = before - {first}
    assert states(database) == {first: State.ACTIVE, following: State.NEXT}

    travel(timedelta(seconds=1))
    assert rotate(database, keyring) == following
    early = at(client, alice)
    alice.refresh()
    assert (kid(alice), kid(early)) == (following, first)
    [third] = published(client) - before
    assert states(database) == {first: State.ACTIVE, following: State.ACTIVE, third: State.NEXT}

    travel(timedelta(seconds=LIFETIME - 1))
    assert (seen(early), seen(alice)) == ((200, None), (200, None))
    travel(timedelta(seconds=62))
    assert states(database) == {first: State.RETIRED, following: State.ACTIVE, third: State.NEXT}
    assert published(client) == {following, third}
    assert seen(early) == INVALID
    assert alice.refresh().status_code == 200
    assert kid(alice) == following


# The first keys must have the time of the clock that stands still: a key signs a second after it was created.
@pytest.mark.usefixtures("still")
def test_a_new_key_signs_only_when_every_process_can_know_it(
    alice: Person, database: Database, keyring: Keyring, travel: Travel
) -> None:
    first = kid(alice)
    second = rotate(database, keyring)
    third = rotate(database, keyring)
    assert signer(database, keyring) == first
    assert states(database)[second] == states(database)[third] == State.NEXT
    travel(timedelta(seconds=1))
    assert signer(database, keyring) == third
    with database.transaction() as db:
        for row in db.run(select(models.signing_keys).where(models.signing_keys.c.id.in_([second, third]))):
            assert row.activated_at is not None
            assert row.activated_at - row.created_at >= timedelta(seconds=1)


def test_the_operator_lists_and_rotates_the_keys(charter: Charter, database: Database) -> None:
    assert charter.run("migrate").returncode == 0
    first, following = states(database)
    assert listed(charter) == [(first, "active", "signs"), (following, "next", "")]
    with database.transaction() as db:
        for row in signing_keys.list_all(db):
            earlier = update(models.signing_keys).where(models.signing_keys.c.id == row.id)
            db.run(earlier.values(created_at=row.created_at - timedelta(minutes=5)))
    result = charter.run("keys", "rotate")
    assert (result.returncode, result.stdout) == (0, f"{following} is now the signing key.\n")
    assert events(result.stderr) == [("signing_key_rotated", following)]
    [third] = states(database).keys() - {first, following}
    assert listed(charter) == [(first, "active", "until"), (following, "active", "signs"), (third, "next", "")]
    assert charter.run("keys", "retire", first).returncode == 0
    assert listed(charter) == [(first, "retired", "until"), (following, "active", "signs"), (third, "next", "")]


def test_a_second_rotation_within_five_minutes_is_a_warning(charter: Charter) -> None:
    assert charter.run("migrate").returncode == 0
    result = charter.run("keys", "rotate")
    warnings = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert result.returncode == 0
    assert warnings == [
        "Warning: the key was published less than 5 minutes ago, so services that cache the keys may reject its tokens "
        "until then."
    ]


def listed(charter: Charter) -> list[tuple[str, str, str]]:
    """Return the id, state and remark of each key from `charter keys list`, without the times."""
    result = charter.run("keys", "list")
    assert (result.returncode, result.stderr) == (0, "")
    head, *lines = result.stdout.splitlines()
    assert head == "ID                ALGORITHM  STATE    CREATED                   NOTE"
    moment = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    form = rf"([0-9a-f]{{16}})  ES256      (\w+) +{moment}(?:  (signs|until) ?(?:{moment})?)?"
    found = [re.fullmatch(form, line) for line in lines]
    assert all(found)
    return [(match[1], match[2], match[3] or "") for match in found if match]


def events(log: str) -> list[tuple[str, str]]:
    return [(line["event"], line["key_id"]) for line in map(json.loads, log.splitlines())]


def test_every_process_rejects_the_tokens_of_a_retired_key_at_once(
    alice: Person, there: TestClient, charter: Charter, database: Database
) -> None:
    first = kid(alice)
    [following] = states(database).keys() - {first}
    assert seen(at(there, alice)) == (200, None)
    result = charter.run("keys", "retire", first)
    assert (result.returncode, result.stdout) == (0, f"{first} is retired.\n")
    assert events(result.stderr) == [("signing_key_rotated", following), ("signing_key_retired", first)]
    sleep(0.1)
    assert [seen(alice), seen(at(there, alice))] == [INVALID, INVALID]
    assert first not in published(there)
    elsewhere = at(there, alice)
    assert elsewhere.refresh().status_code == 200
    assert kid(elsewhere) == following
    assert [seen(elsewhere), seen(at(alice.client, elsewhere))] == [(200, None), (200, None)]


@pytest.mark.parametrize("which", ["unknown", "retired", "' OR 1=1 --"])
def test_only_a_key_in_use_can_be_retired(charter: Charter, database: Database, keyring: Keyring, which: str) -> None:
    first = signer(database, keyring)
    with database.transaction() as db:
        signing_keys.retire(db, keyring, first)
    key_id = first if which == "retired" else which
    before = states(database)
    result = charter.run("keys", "retire", key_id)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: key {key_id} is unknown or already retired; see charter keys list\n"
    assert states(database) == before


def test_retiring_a_key_that_does_not_sign_changes_no_other(
    alice: Person, database: Database, keyring: Keyring
) -> None:
    first = kid(alice)
    [following] = states(database).keys() - {first}
    with database.transaction() as db:
        signing_keys.retire(db, keyring, following)
    [third] = states(database).keys() - {first, following}
    assert states(database) == {first: State.ACTIVE, following: State.RETIRED, third: State.NEXT}
    assert signer(database, keyring) == first
    assert seen(alice) == (200, None)


def test_retiring_a_key_that_no_longer_signs_changes_no_other(
    alice: Person, database: Database, keyring: Keyring
) -> None:
    first, second = kid(alice), rotate(database, keyring)
    before = states(database)
    with database.transaction() as db:
        signing_keys.retire(db, keyring, first)
    assert states(database) == before | {first: State.RETIRED}
    sleep(0.1)
    assert seen(alice) == INVALID
    assert second in states(database)


def test_another_algorithm_begins_with_the_next_rotation(
    alice: Person, config: Config, database: Database, charter: Charter
) -> None:
    charter.settings["CHARTER_SIGNING_ALGORITHM"] = "EdDSA"
    with TestClient(create_app(replace(config, signing_algorithm="EdDSA"))) as changed:
        bobby = newcomer(changed, "bobby")
        assert kid(bobby) == kid(alice)
        following = charter.run("keys", "rotate").stdout.split()[0]
        early, late = at(changed, alice), at(changed, alice)
        assert late.refresh().status_code == 200
        assert (kid(early) != kid(late), kid(late)) == (True, following)
        assert [seen(early), seen(late), seen(at(alice.client, late))] == [(200, None)] * 3
        algorithms = [key["alg"] for key in changed.get(JWKS).json()["keys"]]
        assert sorted(algorithms) == ["ES256", "EdDSA", "EdDSA"]


def test_each_secret_has_its_own_keys(alice: Person, config: Config, charter: Charter, database: Database) -> None:
    ours = set(states(database))
    secret = bytes(range(1, 33))
    charter.settings["CHARTER_SECRET"] = secret.hex()
    with TestClient(create_app(replace(config, secret=secret))) as changed:
        assert seen(at(changed, alice)) == INVALID
        assert published(changed) == set()
        bobby = newcomer(changed, "bobby")
        assert seen(bobby) == (200, None)
        assert published(changed) == states(database).keys() - ours
    lines = charter.run("keys", "list").stdout.splitlines()
    foreign = {line.split()[0] for line in lines if line.endswith("  encrypted with another CHARTER_SECRET")}
    assert foreign == ours
    assert charter.run("keys", "rotate").returncode == 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_database_contains_no_private_key_in_plain_text(config: Config, database: Database, algorithm: str) -> None:
    keyring = keyring_of(replace(config, signing_algorithm=algorithm))
    with database.transaction() as db:
        keys = [keyring.signing(db), *keyring.verifying(db).values()]
    dump = stored_bytes(config)
    assert all(key.id.encode() in dump for key in keys)
    for part in (part for key in keys for part in spellings(key)):
        assert part not in dump
        assert part.hex().encode() not in dump


def spellings(key: SigningKey) -> list[bytes]:
    """Return the private part of a key, in all forms in which a leak could contain it."""
    if key.algorithm == "HS256":
        return [key.private]
    forms = [(Encoding.DER, PrivateFormat.PKCS8), (Encoding.PEM, PrivateFormat.PKCS8)]
    whole = [key.private.private_bytes(*form, NoEncryption()) for form in forms]
    if key.algorithm == "EdDSA":
        return [*whole, key.private.private_bytes_raw()]
    numbers = key.private.private_numbers()
    if key.algorithm == "ES256":
        return [*whole, numbers.private_value.to_bytes(32)]
    return [*whole, numbers.p.to_bytes(192), numbers.q.to_bytes(192), numbers.d.to_bytes(384)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@on_sqlite
def test_a_sealed_key_opens_only_with_its_secret_id_and_algorithm(config: Config, algorithm: str) -> None:
    keyring, key = keyring_of(config), generate(algorithm)
    sealed = KeyCipher(config.secret).seal(key)
    row = KeyRow(key.id, algorithm, sealed, clock.now(), None, None)
    opened = keyring.open(row)
    assert opened is not None
    assert spellings(opened) == spellings(key)
    flipped = [sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :] for place in range(len(sealed))]
    changes: list[dict[str, Any]] = [
        *({"sealed": each} for each in flipped),
        *({"sealed": sealed[:length]} for length in (0, 7, 8, 12, 20, 28, len(sealed) - 1)),
        {"sealed": sealed + b"\0"},
        {"sealed": KeyCipher(bytes(32)).seal(key)},
        {"sealed": KeyCipher(config.secret).seal(generate(algorithm))},
        {"id": generate(algorithm).id},
        *({"algorithm": other} for other in ALGORITHMS if other != algorithm),
    ]
    assert {keyring.open(row._replace(**change)) for change in changes} == {None}


def without_end(database: Database) -> list[KeyRow]:
    """Return the keys that sign, or are about to, until the next rotation."""
    with database.transaction() as db:
        return [row for row in signing_keys.list_all(db) if row.activated_at is not None and row.retires_at is None]


def test_simultaneous_rotations_take_turns(database: Database, keyring: Keyring, travel: Travel) -> None:
    assert signer(database, keyring)
    outcomes = at_once(*[lambda: rotate(database, keyring)] * 8)
    assert len(set(outcomes)) == 8
    assert set(outcomes) < states(database).keys()
    travel(timedelta(seconds=1))
    [row] = without_end(database)
    assert signer(database, keyring) == row.id
    assert sorted(states(database).values()) == [State.ACTIVE] * 9 + [State.NEXT]


def test_only_one_of_several_simultaneous_retirements_succeeds(database: Database, keyring: Keyring) -> None:
    first = signer(database, keyring)

    def retire() -> bool:
        with suppress(NotFound), database.transaction() as db:
            signing_keys.retire(db, keyring, first)
            return True
        return False

    assert at_once(*[retire] * 8).count(True) == 1
    [row] = without_end(database)
    assert signer(database, keyring) == row.id
    assert sorted(states(database).values()) == [State.ACTIVE, State.NEXT, State.RETIRED]


def test_keys_that_retired_long_ago_are_purged(database: Database, keyring: Keyring, travel: Travel) -> None:
    first = signer(database, keyring)
    rotate(database, keyring)
    travel(timedelta(days=30))
    rotate(database, keyring)
    assert states(database)[first] is State.RETIRED
    travel(timedelta(days=1))
    rotate(database, keyring)
    assert first not in states(database)


# Few verifiers support its new name yet, Ed25519 (RFC 9864).
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_another_library_verifies_tokens_with_the_published_keys(config: Config, algorithm: str) -> None:
    with TestClient(create_app(replace(config, signing_algorithm=algorithm))) as client:
        alice = newcomer(client, "alice")
        response = client.get(JWKS)
    assert (response.status_code, response.headers["cache-control"]) == (200, "public, max-age=300")
    token = jwt.decode(alice.token, KeySet.import_key_set(response.json()), algorithms=[algorithm])
    claims = {"iss": "http://127.0.0.1:8000", "aud": "charter", "sub": alice.id, "scope": USER_SCOPE}
    assert claims.items() <= token.claims.items()
    assert (token.header["typ"], token.header["alg"]) == ("at+jwt", algorithm)
    members = {"ES256": {"crv", "x", "y"}, "EdDSA": {"crv", "x"}, "RS256": {"n", "e"}}[algorithm]
    assert [key.keys() for key in response.json()["keys"]] == [{"kty", "use", "alg", "kid"} | members] * 2
