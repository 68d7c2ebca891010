"""Access tokens: what is refused, whoever made it and however it is sent (RFC 8725, RFC 6750, RFC 9068)."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.database import Database
from api.models import User
from tests.conftest import Person, newcomer

MISSING = (401, "Bearer", "MISSING_TOKEN")
INVALID = (401, 'Bearer error="invalid_token"', "INVALID_TOKEN")
ABSENT = object()
ATTACKER = bytes(range(64, 96))
LIFETIME = 900


@dataclass
class Genuine:
    """A live token, what is in it, and the key that signed it: with these, nobody forges better."""

    text: str
    key: bytes

    def __post_init__(self) -> None:
        header, claims, self.signature = self.text.split(".")
        self.header, self.claims = json.loads(decode(header)), json.loads(decode(claims))

    def changed(self, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
        return self.signed(_changed(self.header, header or {}), _changed(self.claims, claims or {}))

    def signed(self, header: object = None, claims: object = None, key: bytes = b"", digest: str = "sha256") -> str:
        """A token with these parts, in JSON unless they are bytes, and a signature that fits."""
        parts = [self.header if header is None else header, self.claims if claims is None else claims]
        text = ".".join(encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)
        return f"{text}.{encode(hmac.digest(key or self.key, text.encode(), digest))}"

    def lasting(self, begins: int, ends: int) -> str:
        """A token with these times, in seconds from now."""
        now = int(time.time())
        return self.changed(claims={"iat": now + begins, "exp": now + ends})


def _changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (members | changes).items() if value is not ABSENT}


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


def respelled(token: str) -> str:
    """The same bytes in other characters: the last one has two bits that base64 leaves unused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert decode(other.rpartition(".")[2]) == decode(token.rpartition(".")[2])
    return other


@pytest.fixture
def genuine(alice: Person, config: Config) -> Genuine:
    return Genuine(alice.token, config.secret)


def ask(client: httpx.Client, authorization: str | bytes) -> tuple[int, str | None, str | None]:
    raw = authorization.encode() if isinstance(authorization, str) else authorization
    return facts(client.get("/protected", headers={b"authorization": raw}))


def facts(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, challenge and code; a body that is not a whole problem has no code."""
    body = answer.json()
    assert answer.headers["content-type"] == ("application/json" if answer.is_success else "application/problem+json")
    whole = body.keys() == {"type", "title", "status", "detail", "code"} and body["status"] == answer.status_code
    return answer.status_code, answer.headers.get("www-authenticate"), body["code"] if whole else None


HEADERS: list[dict[str, Any]] = [
    *({"alg": alg} for alg in ("none", "None", "NONE", "nOnE", "", "hs256", None, ABSENT, 256)),
    *({"alg": alg} for alg in (["HS256"], ["none", "HS256"], {"HS256": 1})),
    *({"alg": alg} for alg in ("HS384", "HS512", "RS256", "PS256", "ES256", "ES256K", "EdDSA")),
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
FORGED: dict[str, Callable[[Genuine], str]] = {
    "the key of somebody else": lambda t: t.signed(key=ATTACKER),
    "a key of one byte": lambda t: t.signed(key=b"\0"),
    "no key, and a kid that names an empty file": lambda t: t.signed(t.header | {"kid": "/dev/null"}, key=b"\0"),
    "jku": lambda t: t.signed(t.header | {"jku": "http://127.0.0.1:9/keys.json"}, key=ATTACKER),
    "x5u": lambda t: t.signed(t.header | {"x5u": "http://127.0.0.1:9/chain.pem"}, key=ATTACKER),
    "jwk": lambda t: t.signed(t.header | {"jwk": {"kty": "oct", "k": encode(ATTACKER)}}, key=ATTACKER),
    "x5c": lambda t: t.signed(t.header | {"x5c": [base64.b64encode(ATTACKER).decode()]}, key=ATTACKER),
    "HS384 throughout": lambda t: t.signed(t.header | {"alg": "HS384"}, digest="sha384"),
    "HS512 throughout": lambda t: t.signed(t.header | {"alg": "HS512"}, digest="sha512"),
    "a longer signature than its alg": lambda t: t.signed(digest="sha512"),
    "an empty signature": lambda t: t.text.removesuffix(t.signature),
    "alg none and an empty signature": lambda t: t.changed({"alg": "none"}).rpartition(".")[0] + ".",
    "no signature": lambda t: t.text.rpartition(".")[0],
    "half a signature": lambda t: t.text[:-22],
    "a signature of zeros": lambda t: t.text.removesuffix(t.signature) + "A" * 43,
    "the signature of other claims": lambda t: t.changed(claims={"jti": "x"}).rpartition(".")[0] + "." + t.signature,
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


def test_a_token_made_like_ours_is_taken_so_the_forgeries_below_fail_for_their_own_reason(
    client: TestClient, genuine: Genuine
) -> None:
    good = {
        "ours": genuine.text,
        "signed again": genuine.changed(),
        "as long as allowed": genuine.lasting(0, LIFETIME),
        "another jti": genuine.changed(claims={"jti": "another"}),
    }
    assert {name: ask(client, f"Bearer {token}")[0] for name, token in good.items()} == dict.fromkeys(good, 200)


def test_forged_altered_and_misused_tokens_are_refused(client: TestClient, genuine: Genuine) -> None:
    bad = {f"header {changes}": genuine.changed(header=changes) for changes in HEADERS}
    bad |= {f"claims {changes}": genuine.changed(claims=changes) for changes in CLAIMS}
    bad |= {name: forge(genuine) for name, forge in FORGED.items()}
    bad |= {f"junk {text}": text for text in JUNK}
    assert len(bad) == len(HEADERS) + len(CLAIMS) + len(FORGED) + len(JUNK) > 60
    assert {name: ask(client, f"Bearer {token}") for name, token in bad.items()} == dict.fromkeys(bad, INVALID)


def test_bytes_that_are_not_ascii_are_refused(client: TestClient, genuine: Genuine) -> None:
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
def test_another_scheme_is_no_token(client: TestClient, genuine: Genuine, scheme: str) -> None:
    assert ask(client, f"{scheme} {genuine.text}") == MISSING


def test_a_token_counts_in_the_header_alone(client: TestClient, alice: Person) -> None:
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
    answers = {place: facts(client.request("GET", "/protected", **sent)) for place, sent in places.items()}
    assert answers == dict.fromkeys(places, MISSING)


def test_a_header_given_twice_is_refused(client: TestClient, alice: Person) -> None:
    header = ("Authorization", f"Bearer {alice.token}")
    answer = client.get("/protected", headers=[header, header])
    assert facts(answer) == (400, None, "MALFORMED_REQUEST")


def test_a_token_of_a_megabyte_is_refused_by_a_live_server(server: str) -> None:
    answer = httpx.get(f"{server}/protected", headers={"Authorization": "Bearer " + "a" * 1_000_000})
    assert facts(answer) == (431, None, "HEADERS_TOO_LARGE")


def test_no_spelling_of_a_token_outlives_its_session(client: TestClient, alice: Person, config: Config) -> None:
    session = Genuine(alice.token, config.secret)
    assert alice.log_out().status_code == 204
    spellings = {
        "as it was": session.text,
        "respelled": respelled(session.text),
        "padded": session.text + "=",
        "padded twice": session.text + "==",
        "with space": f"  {session.text}  ",
        "issued again": session.lasting(0, LIFETIME),
        "another jti": session.changed(claims={"jti": str(uuid4())}),
        "sid in capitals": session.changed(claims={"sid": session.claims["sid"].upper()}),
        "sid in braces": session.changed(claims={"sid": "{" + session.claims["sid"] + "}"}),
        "sid as a URN": session.changed(claims={"sid": f"urn:uuid:{session.claims['sid']}"}),
        "sid without dashes": session.changed(claims={"sid": session.claims["sid"].replace("-", "")}),
    }
    answers = {name: ask(client, f"Bearer {spelling}") for name, spelling in spellings.items()}
    assert answers == dict.fromkeys(spellings, INVALID)


def test_a_revoked_session_and_a_deleted_user_are_refused_by_every_worker_at_once(
    client: TestClient, config: Config, database: Database
) -> None:
    alice, bobby = newcomer(client, "alice"), newcomer(client, "bobby")
    with TestClient(create_app(config)) as worker:
        assert [ask(worker, f"Bearer {person.token}")[0] for person in (alice, bobby)] == [200, 200]
        alice.log_out()
        with database.transaction() as db:
            db.execute(delete(User).where(User.username == "bobby"))
        answers = [ask(each, f"Bearer {person.token}") for each in (client, worker) for person in (alice, bobby)]
    assert answers == [INVALID] * 4


def test_a_token_is_good_for_its_own_issuer_audience_and_key_only(client: TestClient, config: Config) -> None:
    alice = newcomer(client, "alice")
    others = [
        replace(config, issuer="http://127.0.0.2:8000"),
        replace(config, audience="another"),
        replace(config, secret=ATTACKER),
    ]
    for other in others:
        with TestClient(create_app(other)) as stranger:
            assert ask(stranger, f"Bearer {alice.token}") == INVALID


@pytest.mark.parametrize("between", ["\u00a0", "\u2028", "\x1f", "\t", ","])
def test_only_a_space_stands_between_two_scopes(client: TestClient, genuine: Genuine, between: str) -> None:
    def status(scope: str) -> int:
        token = genuine.changed(claims={"scope": scope})
        answer: httpx.Response = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    assert [status(f"other{space}profile") for space in (" ", between)] == [200, 403]


def test_the_longest_settings_there_are_make_no_token_too_long(config: Config) -> None:
    longest = replace(config, issuer='"' * 255, audience="\\" * 255)
    with TestClient(create_app(longest)) as client:
        assert newcomer(client, "alice").get("/protected").status_code == 200


def test_a_token_says_no_more_than_it_must(genuine: Genuine, alice: Person) -> None:
    assert genuine.header == {"alg": "HS256", "typ": "at+jwt", "kid": genuine.header["kid"]}
    assert genuine.claims == {
        "iss": "http://127.0.0.1:8000",
        "aud": "charter",
        "sub": alice.id,
        "sid": genuine.claims["sid"],
        "jti": genuine.claims["jti"],
        "iat": genuine.claims["exp"] - LIFETIME,
        "exp": genuine.claims["exp"],
        "scope": "profile",
    }
    assert genuine.key not in decode(genuine.header["kid"] + "AAAA")
