"""Access tokens: the server rejects forged and misused ones (RFC 8725, RFC 6750, RFC 9068)."""

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import delete
from starlette.testclient import TestClient

from api import clock
from api.app import create_app
from api.config import Config
from api.crypto.access_tokens import public_jwk
from api.crypto.secret import derive
from api.crypto.signing_keys import ALGORITHMS, KeyCipher, SigningKey
from api.models import User
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support.forged_tokens import (
    ABSENT,
    ATTACKER,
    ORDER,
    Genuine,
    Sign,
    decode,
    encode,
    es256,
    hmac_of,
    respelled,
    signing_with,
)
from tests.support.person import Person, newcomer

MISSING = (401, "Bearer", "MISSING_TOKEN")
INVALID = (401, 'Bearer error="invalid_token"', "INVALID_TOKEN")
ATTACKERS_SECRET = bytes(range(64, 96))
LIFETIME = 900


@pytest.fixture
def keys(config: Config, database: Database) -> dict[str, SigningKey]:
    """Return keys in the database: the signing one, the next one, one for each algorithm, and unusable ones."""
    keyring = Keyring(KeyCipher(config.secret), "ES256", LIFETIME)
    with database.transaction() as db:
        signing = keyring.signing(db)
        [following] = keyring.verifying(db).keys() - {signing.id}
        found = {"signing": signing, "next": keyring.verifying(db)[following]}
        for name, secret, algorithm in [
            *((algorithm, config.secret, algorithm) for algorithm in ALGORITHMS),
            ("retired", config.secret, "ES256"),
            ("sealed with another secret", ATTACKERS_SECRET, "ES256"),
        ]:
            ring = Keyring(KeyCipher(secret), algorithm, LIFETIME)
            row = ring.add(db)
            row.activated_at = row.created_at - timedelta(hours=1)
            row.retires_at = clock.now() if name == "retired" else None
            key = ring.open(row)
            assert key is not None
            found[name] = key
    return found


@pytest.fixture
def genuine(keys: dict[str, SigningKey], alice: Person, bobby: Person, config: Config) -> Genuine:
    return Genuine(alice, keys, config.secret, bobby)


def sid(person: Person) -> str:
    return str(json.loads(decode(person.token.split(".")[1]))["sid"])


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


HEADERS: list[dict[str, Any]] = [
    *({"alg": alg} for alg in ("none", "None", "NONE", "nOnE", "", "es256", "hs256", None, ABSENT, 256)),
    *({"alg": alg} for alg in (["ES256"], ["HS256"], ["none", "ES256"], ["none", "HS256"], {"ES256": 1}, {"HS256": 1})),
    *({"alg": alg} for alg in ("HS256", "HS384", "HS512", "RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA")),
    *({"typ": typ} for typ in (ABSENT, None, "", "JWT", "at+JWT ", "rt+jwt", ["at+jwt"], 1)),
    *({"kid": kid} for kid in (ABSENT, None, "", "another", 0, 1, True, ["key"], {"kty": "oct"})),
    *({"kid": kid} for kid in ("../../../../dev/null", "/proc/self/environ", "' UNION SELECT 'k'--", "k" * 10_000)),
    *({"crit": crit} for crit in ([], ["exp"], ["b64"], None, "exp")),
    *({"b64": b64} for b64 in (True, False, None)),
    {"b64": False, "crit": ["b64"]},
]
CLAIMS: list[dict[str, Any]] = [
    *(
        {name: value}
        for name in ("iss", "aud", "sub", "sid", "jti", "iat", "exp", "scope")
        for value in (ABSENT, None, True, 1.5, [], {})
    ),
    *({name: 1} for name in ("iss", "aud", "sub", "sid", "jti", "scope")),
    *({name: ""} for name in ("iss", "aud", "sub", "sid", "iat", "exp")),
    {"iss": "http://127.0.0.1:8000/"},
    {"iss": "https://127.0.0.1:8000"},
    {"aud": "CHARTER"},
    {"aud": ["charter"]},
    {"aud": ["charter", "another"]},
    {"sub": "alice"},
    {"sub": "' OR 1=1 --"},
    {"sub": str(uuid4())},
    {"sid": "1"},
    {"exp": 10**400},
    {"exp": -1},
    {"exp": 0},
    {"iat": -(10**400)},
    {"iat": 10**400, "exp": 10**400 + 1},
]


def public(key: SigningKey, encoding: Encoding, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    spelling: bytes = key.public.public_bytes(encoding, form)
    return spelling


PUBLIC: dict[str, Callable[[SigningKey], bytes]] = {
    "PEM": lambda key: public(key, Encoding.PEM),
    "PEM without its last newline": lambda key: public(key, Encoding.PEM).strip(),
    "DER": lambda key: public(key, Encoding.DER),
    "point": lambda key: public(key, Encoding.X962, PublicFormat.UncompressedPoint),
    "short point": lambda key: public(key, Encoding.X962, PublicFormat.CompressedPoint),
    "JWK": lambda key: json.dumps(public_jwk(key)).encode(),
    "dense JWK": lambda key: json.dumps(public_jwk(key), separators=(",", ":")).encode(),
    "JWK Set": lambda key: json.dumps({"keys": [public_jwk(key)]}).encode(),
    "x": lambda key: decode(public_jwk(key)["x"]),
    "kid": lambda key: key.id.encode(),
}
"""Public facts of a key, each used as the secret of an HMAC."""


def altered(change: Callable[[int, int], bytes]) -> Callable[[Genuine], str]:
    """Return a function that replaces the two numbers of the genuine signature."""

    def forge(token: Genuine) -> str:
        signature = decode(token.signature)
        return token.resigned(change(int.from_bytes(signature[:32]), int.from_bytes(signature[32:])))

    return forge


def pair(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size) + s.to_bytes(size)


def in_der(sign: Sign) -> Sign:
    def signed(data: bytes) -> bytes:
        signature = sign(data)
        return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))

    return signed


SIGNATURES: dict[str, Callable[[Genuine], str]] = {
    "zeros": altered(lambda *_: bytes(64)),
    "ones": altered(lambda *_: pair(1, 1)),
    "r is zero": altered(lambda _, s: pair(0, s)),
    "s is zero": altered(lambda r, _: pair(r, 0)),
    "r and s are the order of the group": altered(lambda *_: pair(ORDER, ORDER)),
    "s and r": altered(lambda r, s: pair(s, r)),
    "another r": altered(lambda r, s: pair(r ^ 1, s)),
    "the other r with the same s": altered(lambda r, s: pair(ORDER - r, s)),
    "r alone": altered(lambda r, _: r.to_bytes(32)),
    "r and s in 48 bytes each": altered(lambda r, s: pair(r, s, 48)),
    "a byte more": altered(lambda r, s: pair(r, s) + b"\0"),
    "a byte before": altered(lambda r, s: b"\0" + pair(r, s)),
    "twice": altered(lambda r, s: pair(r, s) * 2),
    "DER": altered(encode_dss_signature),
    "DER, filled up": altered(lambda r, s: encode_dss_signature(r, s).ljust(96, b"\0")),
    "hexadecimal": altered(lambda r, s: pair(r, s).hex().encode()),
    "endless": altered(lambda *_: bytes(2_000)),
}
FORGED: dict[str, Callable[[Genuine], str]] = {
    "an unknown key": lambda t: t.by(es256(ATTACKER)),
    "a key of one byte": lambda t: t.by(hmac_of(b"\0"), alg="HS256"),
    "no key": lambda t: t.by(hmac_of(b""), alg="HS256"),
    "no key, and a kid that names an empty file": lambda t: t.by(hmac_of(b"\0"), alg="HS256", kid="/dev/null"),
    "jku": lambda t: t.by(es256(ATTACKER), jku="http://127.0.0.1:9/keys.json"),
    "x5u": lambda t: t.by(es256(ATTACKER), x5u="http://127.0.0.1:9/chain.pem"),
    "jwk": lambda t: t.by(es256(ATTACKER), jwk=public_jwk(SigningKey("attacker", "ES256", ATTACKER))),
    "jwk, and its kid": lambda t: t.by(
        es256(ATTACKER), kid="attacker", jwk=public_jwk(SigningKey("attacker", "ES256", ATTACKER))
    ),
    "jwk of a secret": lambda t: t.by(
        hmac_of(ATTACKERS_SECRET), alg="HS256", jwk={"kty": "oct", "k": encode(ATTACKERS_SECRET)}
    ),
    "x5c": lambda t: t.by(
        es256(ATTACKER),
        x5c=[base64.b64encode(public(SigningKey("", "ES256", ATTACKER), Encoding.DER)).decode()],
    ),
    "HS256 under the master secret": lambda t: t.by(hmac_of(t.secret), alg="HS256"),
    "HS256 under the key that encrypts the signing keys": lambda t: t.by(
        hmac_of(derive(t.secret, "signing keys")), alg="HS256"
    ),
    "HS384 throughout": lambda t: t.by(hmac_of(t.secret, "sha384"), alg="HS384"),
    "HS512 throughout": lambda t: t.by(hmac_of(t.secret, "sha512"), alg="HS512"),
    "ES384 throughout": lambda t: t.by(es256(t.key.private, SHA384()), alg="ES384"),
    "ES512 throughout": lambda t: t.by(es256(t.key.private, SHA512()), alg="ES512"),
    "a longer digest than its alg": lambda t: t.by(es256(t.key.private, SHA512())),
    "a longer signature than its alg": lambda t: t.by(es256(t.key.private, SHA384(), 48)),
    "a signature in DER": lambda t: t.by(in_der(es256(t.key.private))),
    "HS256 of our own key, with another kid": lambda t: t.by(signing_with(t.keys["HS256"]), alg="HS256"),
    "EdDSA of our own key, with another kid": lambda t: t.by(signing_with(t.keys["EdDSA"]), alg="EdDSA"),
    "RS256 of our own key, with another kid": lambda t: t.by(signing_with(t.keys["RS256"]), alg="RS256"),
    "ES256 with the kid of an HS256 key": lambda t: t.by(es256(t.key.private), kid=t.keys["HS256"].id),
    "HS256 with an RS256 key in PEM": lambda t: t.by(
        hmac_of(public(t.keys["RS256"], Encoding.PEM)), alg="HS256", kid=t.keys["RS256"].id
    ),
    "HS256 with an EdDSA key": lambda t: t.by(
        hmac_of(public(t.keys["EdDSA"], Encoding.Raw, PublicFormat.Raw)), alg="HS256", kid=t.keys["EdDSA"].id
    ),
    "HS512 of an HS256 key": lambda t: t.by(
        hmac_of(t.keys["HS256"].private, "sha512"), alg="HS512", kid=t.keys["HS256"].id
    ),
    "alg none with the kid of an HS256 key": lambda t: t.by(lambda _: b"", alg="none", kid=t.keys["HS256"].id),
    "the kid of the next key": lambda t: t.by(es256(t.key.private), kid=t.keys["next"].id),
    "the kid of another valid key": lambda t: t.by(es256(t.key.private), kid=t.keys["ES256"].id),
    "the next key with the kid of today's": lambda t: t.by(es256(t.keys["next"].private)),
    "a retired key": lambda t: t.by(es256(t.keys["retired"].private), kid=t.keys["retired"].id),
    "the kid of a retired key": lambda t: t.by(es256(t.key.private), kid=t.keys["retired"].id),
    "a key that was inserted under another secret": lambda t: t.by(
        es256(t.keys["sealed with another secret"].private), kid=t.keys["sealed with another secret"].id
    ),
    "the kid in capitals": lambda t: t.changed({"kid": t.key.id.upper() + " "}),
    "the refresh token": lambda t: t.person.refresh_token,
    "the refresh token in three parts": lambda t: ".".join([t.person.refresh_token] * 3),
    "the refresh token as a signature": lambda t: f"{t.signed_part}.{t.person.refresh_token}",
    "the sub of another user": lambda t: t.changed(claims={"sub": t.stranger.id}),
    "the session of another user": lambda t: t.changed(claims={"sid": sid(t.stranger)}),
    "sub and sid exchanged": lambda t: t.changed(claims={"sub": t.claims["sid"], "sid": t.claims["sub"]}),
    "the sid as the sub": lambda t: t.changed(claims={"sub": t.claims["sid"]}),
    "an empty signature": lambda t: t.text.removesuffix(t.signature),
    "alg none and an empty signature": lambda t: t.changed({"alg": "none"}).rpartition(".")[0] + ".",
    "no signature": lambda t: t.text.rpartition(".")[0],
    "half a signature": lambda t: t.text[:-43],
    "the signature of other claims": lambda t: t.changed(claims={"jti": "x"}).rpartition(".")[0] + "." + t.signature,
    "the signature of another token": lambda t: f"{t.signed_part}.{t.stranger.token.rpartition('.')[2]}",
    "header that is a list": lambda t: t.signed([]),
    "header that is not JSON": lambda t: t.signed(b"{"),
    "header that is not UTF-8": lambda t: t.signed(b'{"alg":"\xff"}'),
    "header nested 1,500 levels": lambda t: t.signed(b"[" * 1500),
    "claims that are a list": lambda t: t.signed(None, []),
    "claims that are a string": lambda t: t.signed(None, "sub"),
    "claims that are not JSON": lambda t: t.signed(None, b"sub"),
    "claims nested 1,500 levels": lambda t: t.signed(None, b"[" * 1500),
    "exp of 1,500 digits": lambda t: t.signed(
        None, json.dumps(t.claims | {"exp": 1}).encode()[:-2] + b"9" * 1500 + b"}"
    ),
    "exp NaN": lambda t: t.changed(claims={"exp": float("nan")}),
    "exp Infinity": lambda t: t.changed(claims={"exp": float("inf")}),
    "exp as a numeric string": lambda t: t.changed(claims={"exp": str(t.claims["exp"])}),
    "iat as a numeric string": lambda t: t.changed(claims={"iat": str(t.claims["iat"])}),
    "exp as a float": lambda t: t.changed(claims={"exp": float(t.claims["exp"])}),
    "iat as a float": lambda t: t.changed(claims={"iat": float(t.claims["iat"])}),
    "aud as a list of the right one": lambda t: t.changed(claims={"aud": [t.claims["aud"]]}),
    "sub in braces": lambda t: t.changed(claims={"sub": "{" + str(uuid4()) + "}"}),
    "expired 30 seconds ago": lambda t: t.lasting(-30 - LIFETIME, -30),
    "expired a year ago": lambda t: t.lasting(-31_536_000, -31_536_000 + LIFETIME),
    "issued 31 seconds from now": lambda t: t.lasting(31, 31 + LIFETIME),
    "ends before it begins": lambda t: t.lasting(0, -60),
    "lives a second too long": lambda t: t.lasting(0, LIFETIME + 1),
    "lives for ten years": lambda t: t.lasting(-60, 315_360_000),
    "one part": lambda t: t.signature,
    "two parts": lambda t: t.text.partition(".")[2],
    "four parts": lambda t: f"{t.text}.{t.signature}",
    "the five parts of a JWE": lambda t: ".".join([encode(b'{"alg":"dir"}'), "", *[t.signature] * 3]),
    "JSON serialization": lambda t: json.dumps(
        dict(zip(("protected", "payload", "signature"), t.text.split("."), strict=True))
    ),
    "padding": lambda t: t.text + "=",
    "more padding": lambda t: t.text + "==",
    "padding inside": lambda t: t.text.replace(".", "=.", 1),
    "a last character with other unused bits": lambda t: respelled(t.text),
    "base64 with + and /": lambda t: t.text[:-2] + "+/",
    "a space inside": lambda t: t.text.replace(".", ". ", 1),
    "a tab behind": lambda t: t.text + "\tx",
    "quotes": lambda t: f'"{t.text}"',
    "two tokens": lambda t: f"{t.text} {t.text}",
    "two tokens and a comma": lambda t: f"{t.text},{t.text}",
    "two schemes": lambda t: f"Bearer {t.text}",
}
JUNK = ["", "..", ".", "undefined", "null", "{}", "0", "a" * 12_000, ".".join(["eyJh" * 1000] * 3)]


def test_the_methods_of_the_forgeries_make_accepted_tokens(client: TestClient, genuine: Genuine) -> None:
    good = {
        "ours": genuine.text,
        "signed again": genuine.changed(),
        "as long as allowed": genuine.lasting(0, LIFETIME),
        "another jti": genuine.changed(claims={"jti": "another"}),
        # Both signatures are valid (RFC 7518, section 3.4). That is harmless: revocation ends sessions, not strings.
        "the other s": altered(lambda r, s: pair(r, ORDER - s))(genuine),
        # The key is published already, and the secret that decrypts it also decrypts the signing key.
        "signed by the next key": genuine.by(es256(genuine.keys["next"].private), kid=genuine.keys["next"].id),
        "for a session of another user": genuine.changed(
            claims={"sub": genuine.stranger.id, "sid": sid(genuine.stranger)}
        ),
    }
    for key in (genuine.keys[algorithm] for algorithm in ALGORITHMS):
        good[f"of an {key.algorithm} key"] = genuine.by(signing_with(key), alg=key.algorithm, kid=key.id)
    assert {name: ask(client, f"Bearer {token}")[0] for name, token in good.items()} == dict.fromkeys(good, 200)


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


def test_headers_that_name_a_key_are_not_followed(client: TestClient, genuine: Genuine) -> None:
    named = {"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "jwk": {"kty": "oct"}, "x5c": ["AAAA"]}
    assert ask(client, f"Bearer {genuine.changed(header=named)}")[0] == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_bearer_in_any_case(client: TestClient, genuine: Genuine, scheme: str) -> None:
    assert ask(client, f"{scheme} {genuine.text}")[0] == 200


@pytest.mark.parametrize("scheme", ["Basic", "Token", "JWT", "DPoP", "Digest", "Bearer:", "Bearer\t", "", "\u0130"])
def test_another_scheme_counts_as_a_missing_token(client: TestClient, genuine: Genuine, scheme: str) -> None:
    assert ask(client, f"{scheme} {genuine.text}") == MISSING


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


def test_a_duplicate_header_is_rejected(client: TestClient, alice: Person) -> None:
    header = ("Authorization", f"Bearer {alice.token}")
    response = client.get("/protected", headers=[header, header])
    assert facts(response) == (400, None, "MALFORMED_REQUEST")


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
            db.execute(delete(User).where(User.username == "bobby"))
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
    longest = replace(config, issuer='"' * 255, audience="\\" * 255, signing_algorithm=algorithm)
    with TestClient(create_app(longest)) as client:
        assert newcomer(client, "alice").get("/protected").status_code == 200


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


def test_a_token_contains_only_the_necessary_claims(genuine: Genuine) -> None:
    assert genuine.header == {"alg": "ES256", "typ": "at+jwt", "kid": genuine.key.id}
    assert genuine.claims == {
        "iss": "http://127.0.0.1:8000",
        "aud": "charter",
        "sub": genuine.person.id,
        "sid": genuine.claims["sid"],
        "jti": genuine.claims["jti"],
        "iat": genuine.claims["exp"] - LIFETIME,
        "exp": genuine.claims["exp"],
        "scope": "password profile sessions",
    }
    assert re.fullmatch("[0-9a-f]{16}", genuine.key.id)
