"""Access tokens: the server rejects forged and misused ones (RFC 8725, RFC 6750, RFC 9068)."""

import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet
from sqlalchemy import delete, update
from starlette.testclient import TestClient

from api import clock, models
from api.app import create_app
from api.config import Config
from api.crypto.access_tokens import key_id
from api.crypto.signing_keys import ALGORITHMS, SigningKey
from api.errors import InvalidToken
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support.databases import on_sqlite
from tests.support.forged_token_cases import (
    ATTACKERS_SECRET,
    CLAIMS,
    FORGED,
    HEADERS,
    JUNK,
    LIFETIME,
    PUBLIC,
    SIGNATURES,
    altered,
    pair,
    sid,
)
from tests.support.forged_tokens import (
    ABSENT,
    ORDER,
    Genuine,
    decode,
    encode,
    es256,
    hmac_of,
    respelled,
    signing_with,
)
from tests.support.person import Person, newcomer
from tests.support.scopes import USER_SCOPE

MISSING = (401, "Bearer", "MISSING_TOKEN")
INVALID = (401, 'Bearer error="invalid_token"', "INVALID_TOKEN")


@pytest.fixture
def keys(config: Config, database: Database) -> dict[str, SigningKey]:
    """Return keys in the database: the signing one, the next one, one for each algorithm, and unusable ones."""
    keyring = Keyring(config.secret, "ES256", LIFETIME)
    with database.transaction() as db:
        signing = keyring.signing(db)
        [following] = keyring.verifying(db).keys() - {signing.id}
        found = {"signing": signing, "next": keyring.verifying(db)[following]}
        for name, secret, algorithm in [
            *((algorithm, config.secret, algorithm) for algorithm in ALGORITHMS),
            ("retired", config.secret, "ES256"),
            ("sealed with another secret", ATTACKERS_SECRET, "ES256"),
        ]:
            ring = Keyring(secret, algorithm, LIFETIME)
            row = ring.add(db)
            row = row._replace(
                activated_at=row.created_at - timedelta(hours=1), retires_at=clock.now() if name == "retired" else None
            )
            db.run(update(models.signing_keys).where(models.signing_keys.c.id == row.id).values(row._asdict()))
            key = ring.open(row)
            assert key is not None
            found[name] = key
    return found


@pytest.fixture
def genuine(keys: dict[str, SigningKey], alice: Person, bobby: Person, config: Config) -> Genuine:
    return Genuine(alice, keys, config.secret, bobby)


def ask(client: httpx.Client, authorization: str | bytes) -> tuple[int, str | None, str | None]:
    raw = authorization.encode() if isinstance(authorization, str) else authorization
    return facts(client.get("/protected", headers={b"authorization": raw}))


def facts(response: httpx.Response) -> tuple[int, str | None, str | None]:
    """Return status, challenge and code. A body that is not a complete problem has no code."""
    body = response.json()
    assert response.headers["content-type"] == (
        "application/json" if response.is_success else "application/problem+json"
    )
    whole = body.keys() == {"type", "title", "status", "detail", "code"} and body["status"] == response.status_code
    return response.status_code, response.headers.get("www-authenticate"), body["code"] if whole else None


def test_tokens_assembled_from_correct_parts_are_accepted(client: TestClient, genuine: Genuine) -> None:
    good = {
        "ours": genuine.text,
        "signed again": genuine.changed(),
        "as long as allowed": genuine.lasting(0, LIFETIME),
        "another jti": genuine.changed(claims={"jti": "another"}),
        # Both signatures are valid (RFC 7518, section 3.4). That is harmless: revocation ends sessions, not strings.
        "the other s": altered(lambda r, s: pair(r, ORDER - s))(genuine),
        # The key is published already, and the secret that decrypts it also decrypts the signing key.
        # Release 0.2.0 issued tokens without this claim.
        "without client_id": genuine.changed(claims={"client_id": ABSENT}),
        "signed by the next key": genuine.by(es256(genuine.keys["next"].private), kid=genuine.keys["next"].id),
        "for a session of another user": genuine.changed(
            claims={"sub": genuine.stranger.id, "sid": sid(genuine.stranger)}
        ),
    }
    for key in (genuine.keys[algorithm] for algorithm in ALGORITHMS):
        good[f"of an {key.algorithm} key"] = genuine.by(signing_with(key), alg=key.algorithm, kid=key.id)
    assert {name: ask(client, f"Bearer {token}")[0] for name, token in good.items()} == dict.fromkeys(good, 200)


@pytest.mark.slow
def test_forged_altered_and_misused_tokens_are_rejected(client: TestClient, genuine: Genuine) -> None:
    bad = {f"header {changes}": genuine.changed(header=changes) for changes in HEADERS}
    bad |= {f"claims {changes}": genuine.changed(claims=changes) for changes in CLAIMS}
    bad |= {name: forge(genuine) for name, forge in FORGED.items()}
    bad |= {f"a signature that is {name}": forge(genuine) for name, forge in SIGNATURES.items()}
    for name, spelling in PUBLIC.items():
        secret = spelling(genuine.key)
        bad[f"HS256 with our public {name}"] = genuine.by(hmac_of(secret), alg="HS256")
        bad[f"HS256 with our public {name} and no kid"] = genuine.by(hmac_of(secret), alg="HS256", kid=ABSENT)
        bad[f"HS512 with our public {name}"] = genuine.by(hmac_of(secret, "sha512"), alg="HS512")
    bad |= {f"junk {text}": text for text in JUNK}
    cases = (HEADERS, CLAIMS, FORGED, SIGNATURES, *[PUBLIC] * 3, JUNK)
    assert len(bad) == sum(map(len, cases)) > 60
    assert {name: ask(client, f"Bearer {token}") for name, token in bad.items()} == dict.fromkeys(bad, INVALID)


@on_sqlite
def test_bytes_that_are_not_ascii_are_rejected(client: TestClient, genuine: Genuine) -> None:
    token = genuine.text.encode()
    bad = [
        b"\xff",
        b"\xc3\xa4",
        "\u0430.\u0430.\u0430".encode(),
        token + b"\xa0",
        token[:-1] + b"\x80",
        b"\x00",
        b"\x1b[m",
    ]
    assert {ask(client, b"Bearer " + each) for each in bad} == {INVALID}


def test_a_nested_header_is_rejected_without_recursion() -> None:
    # At the recursion limit, finalizers of other objects fail, too.
    token = f"{encode(b'[' * 3000)}.e30.AA"
    with pytest.raises(InvalidToken) as error:
        key_id(token)
    cause: BaseException | None = error.value
    while cause is not None:
        assert not isinstance(cause, RecursionError)
        cause = cause.__context__


def test_headers_that_name_a_key_are_not_followed(client: TestClient, genuine: Genuine) -> None:
    named = {"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "jwk": {"kty": "oct"}, "x5c": ["AAAA"]}
    assert ask(client, f"Bearer {genuine.changed(header=named)}")[0] == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_bearer_in_any_case(client: TestClient, genuine: Genuine, scheme: str) -> None:
    assert ask(client, f"{scheme} {genuine.text}")[0] == 200


@pytest.mark.parametrize("scheme", ["Basic", "Token", "JWT", "DPoP", "Digest", "Bearer:", "Bearer\t", "", "\u0130"])
@on_sqlite
def test_another_scheme_counts_as_a_missing_token(client: TestClient, genuine: Genuine, scheme: str) -> None:
    assert ask(client, f"{scheme} {genuine.text}") == MISSING


@on_sqlite
def test_a_token_counts_only_in_the_authorization_header(client: TestClient, alice: Person) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    places: dict[str, dict[str, Any]] = {
        "nowhere": {},
        "query": {"params": {"access_token": alice.token}},
        "form": {"content": f"access_token={alice.token}", "headers": form},
        "cookie": {"headers": {"Cookie": f"access_token={alice.token}; Authorization=Bearer {alice.token}"}},
        "body": {"content": alice.token},
        "other headers": {"headers": {"X-Access-Token": alice.token, "Proxy-Authorization": f"Bearer {alice.token}"}},
        "empty header": {"headers": {"Authorization": ""}},
        "header without a scheme": {"headers": {"Authorization": alice.token}},
    }
    responses = {place: facts(client.request("GET", "/protected", **sent)) for place, sent in places.items()}
    assert responses == dict.fromkeys(places, MISSING)


@on_sqlite
def test_a_duplicate_header_is_rejected(client: TestClient, alice: Person) -> None:
    header = ("Authorization", f"Bearer {alice.token}")
    response = client.get("/protected", headers=[header, header])
    assert facts(response) == (400, None, "MALFORMED_REQUEST")


@on_sqlite
def test_a_token_of_a_megabyte_is_rejected_by_a_live_server(server: str) -> None:
    response = httpx.get(f"{server}/protected", headers={"Authorization": "Bearer " + "a" * 1_000_000})
    assert facts(response) == (431, None, "HEADERS_TOO_LARGE")


def test_no_spelling_of_a_token_outlives_its_session(client: TestClient, genuine: Genuine) -> None:
    session = genuine
    assert genuine.person.log_out().status_code == 204
    spellings = {
        "as it was": session.text,
        "respelled": respelled(session.text),
        "padded": session.text + "=",
        "padded twice": session.text + "==",
        "with space": f"  {session.text}  ",
        "issued again": session.lasting(0, LIFETIME),
        "another jti": session.changed(claims={"jti": str(uuid4())}),
        "the other s": altered(lambda r, s: pair(r, ORDER - s))(session),
        "another key": session.by(signing_with(session.keys["EdDSA"]), alg="EdDSA", kid=session.keys["EdDSA"].id),
        "sid in capitals": session.changed(claims={"sid": session.claims["sid"].upper()}),
        "sid in braces": session.changed(claims={"sid": "{" + session.claims["sid"] + "}"}),
        "sid as a URN": session.changed(claims={"sid": f"urn:uuid:{session.claims['sid']}"}),
        "sid without dashes": session.changed(claims={"sid": session.claims["sid"].replace("-", "")}),
    }
    responses = {name: ask(client, f"Bearer {spelling}") for name, spelling in spellings.items()}
    assert responses == dict.fromkeys(spellings, INVALID)


def test_all_workers_reject_revoked_sessions_and_deleted_users_in_100_ms(
    client: TestClient, config: Config, database: Database
) -> None:
    alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
    with TestClient(create_app(config)) as worker:
        assert [ask(worker, f"Bearer {person.token}")[0] for person in (alice, bobby)] == [200, 200]
        alice.log_out()
        assert ask(client, f"Bearer {alice.token}") == INVALID
        with database.transaction() as db:
            db.run(delete(models.users).where(models.users.c.username == "bobby"))
        time.sleep(0.1)
        responses = [ask(each, f"Bearer {person.token}") for each in (client, worker) for person in (alice, bobby)]
    assert responses == [INVALID] * 4


def test_a_token_is_valid_only_for_its_issuer_audience_and_key(client: TestClient, config: Config) -> None:
    alice = newcomer(client, "alice")
    others = [
        replace(config, issuer="http://127.0.0.2:8000"),
        replace(config, audience="another"),
        replace(config, secret=ATTACKERS_SECRET),
    ]
    for other in others:
        with TestClient(create_app(other)) as foreign:
            assert ask(foreign, f"Bearer {alice.token}") == INVALID


@pytest.mark.parametrize("between", ["\u00a0", "\u2028", "\x1f", "\t", ","])
def test_only_a_space_separates_two_scopes(client: TestClient, genuine: Genuine, between: str) -> None:
    def status(scope: str) -> int:
        token = genuine.changed(claims={"scope": scope})
        response: httpx.Response = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        return response.status_code

    assert [status(f"other{space}profile") for space in (" ", between)] == [200, 403]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_with_the_longest_settings_are_not_too_long(config: Config, algorithm: str) -> None:
    longest = replace(config, issuer='"' * 255, audience="\\" * 255, client_id='"' * 255, signing_algorithm=algorithm)
    with TestClient(create_app(longest)) as client:
        assert newcomer(client, "alice").get("/protected").status_code == 200


def test_authlib_accepts_a_token(client: TestClient, alice: Person, config: Config) -> None:
    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
        def get_jwks(self) -> Any:
            return KeySet.import_key_set(client.get("/.well-known/jwks.json").json())

    validator = Validator(config.issuer, config.audience)
    claims = validator.authenticate_token(alice.token)
    validator.validate_token(claims, ["profile sessions"], None)
    assert (claims["client_id"], claims["sub"]) == (config.client_id, alice.id)


def test_an_access_token_is_rejected_as_a_refresh_token(client: TestClient, genuine: Genuine) -> None:
    wrong = {
        "as it is": genuine.text,
        "as long as a refresh token": genuine.text[:64],
        "its end": genuine.text[-64:],
        "its signature": genuine.signature,
        "its session": genuine.claims["sid"],
        "its jti": genuine.claims["jti"],
    }
    responses = {
        name: client.post("/api/v1/auth/refresh", json={"refresh_token": each}) for name, each in wrong.items()
    }
    seen = {name: (response.status_code, response.json()["code"]) for name, response in responses.items()}
    assert seen == dict.fromkeys(wrong, (401, "INVALID_REFRESH_TOKEN")) | {"as it is": (400, "INVALID_INPUT")}
    assert genuine.person.refresh().status_code == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_are_signed_with_the_configured_algorithm(config: Config, algorithm: str) -> None:
    with TestClient(create_app(replace(config, signing_algorithm=algorithm))) as client:
        alice = newcomer(client, "alice")
        header = json.loads(decode(alice.token.split(".")[0]))
        assert (header["alg"], header["typ"]) == (algorithm, "at+jwt")
        assert [alice.get("/protected").status_code, alice.refresh().status_code] == [200, 200]
        assert alice.get("/protected").status_code == 200
        published = client.get("/.well-known/jwks.json").json()["keys"]
    # A verifier of HS256 can also sign, so such a key is never published.
    assert (header["kid"] in {key["kid"] for key in published}) == (algorithm != "HS256")
    assert {key["alg"] for key in published} == {algorithm} - {"HS256"}


@on_sqlite
def test_a_token_contains_only_the_necessary_claims(genuine: Genuine) -> None:
    assert genuine.header == {"alg": "ES256", "typ": "at+jwt", "kid": genuine.key.id}
    assert genuine.claims == {
        "iss": "http://127.0.0.1:8000",
        "aud": "charter",
        "sub": genuine.person.id,
        "client_id": "charter",
        "sid": genuine.claims["sid"],
        "jti": genuine.claims["jti"],
        "iat": genuine.claims["exp"] - LIFETIME,
        "exp": genuine.claims["exp"],
        "auth_time": genuine.claims["iat"],
        "scope": USER_SCOPE,
    }
    assert re.fullmatch("[0-9a-f]{16}", genuine.key.id)
