"""Forged and altered access tokens, which no server may accept."""

import base64
import hmac
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.crypto.signing_keys import SigningKey, generate
from tests.soak.abuse.marks import Marks

_HEADERS: list[dict[str, Any]] = [
    {"alg": "none"}, {"alg": "None"}, {"alg": "nOnE"}, {"alg": ""}, {"alg": None}, {"alg": ["HS256"]}, {"alg": 256},
    {"alg": "HS256"}, {"alg": "RS256"}, {"alg": "ES384"}, {"alg": "EdDSA"}, {"alg": "ES256\x00"}, {"alg": "es256"},
    {"kid": "../../../../dev/null"}, {"kid": "/proc/self/environ"}, {"kid": "' OR 1=1 --"}, {"kid": 1}, {"kid": None},
    {"kid": "k" * 10_000}, {"kid": ""}, {"kid": ["a"]}, {"kid": {"a": 1}}, {"typ": "JWT"}, {"typ": None}, {"typ": 1},
    {"crit": ["exp"]}, {"crit": []}, {"b64": False},
]  # fmt: skip
# The server must ignore these headers: with the server's own signature, the token would be valid.
_IGNORED: list[dict[str, Any]] = [
    {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/x"}, {"jwk": {"kty": "oct", "k": "AA"}},
    {"x5c": ["AA"]}, {"zip": "DEF"}, {"cty": "JWT"},
]  # fmt: skip
_CLAIMS: list[dict[str, Any]] = [
    {"sub": 1}, {"sub": None}, {"sub": ["a"]}, {"sub": "' OR 1=1 --"}, {"sub": ""}, {"sid": True}, {"sid": "\x00"},
    {"sid": "x" * 3000}, {"exp": "9999999999"}, {"exp": 1e308}, {"exp": -1}, {"exp": 0}, {"exp": None}, {"exp": True},
    {"exp": 9_999_999_999}, {"exp": 2**63}, {"exp": 2**2000}, {"iat": 9_999_999_999}, {"iat": "0"}, {"iat": -(2**63)},
    {"aud": "other"}, {"aud": ["charter"]}, {"aud": {}}, {"iss": "http://evil.example"}, {"iss": None}, {"jti": 5},
    {"jti": None}, {"sub": "019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d"}, {"sub": "{019b2c9e-6d5c-7c3a-9d4e-0f6f3a1b2c3d}"},
]  # fmt: skip


# A key of the forger, unknown to the server.
_OTHER_KEY = generate("ES256")


class Forger(NamedTuple):
    """A client with a valid token, tokens whose session may end, and the server's key for the hardest forgeries."""

    token: str
    spare: str
    spare_refresh_token: str
    key: SigningKey


def forged(rng: Random, forger: Forger, marks: Marks) -> str:
    """Return a token that no server may accept, latin-1 for bytes."""
    return rng.choice(_FORGERIES)(rng, forger, marks)


def _other_header(rng: Random, forger: Forger, marks: Marks) -> str:
    """Return a token without a signature, with one of another key, or with the server's own."""
    header, payload, signature = _read(forger.token)
    change = rng.choice(_HEADERS + _IGNORED)
    signed = f"{_encode({**header, **change})}.{_encode(payload)}"
    own = [] if change in _IGNORED else [_sign(signed, forger.key)]
    others = ["", signature, _sign(signed, _OTHER_KEY), *_confused(signed, forger.key)]
    return f"{signed}.{rng.choice(others + own)}"


def _other_claims(rng: Random, forger: Forger, marks: Marks) -> str:
    """Return a token with claims that the server would never sign, under its own signature."""
    header, payload, _ = _read(forger.token)
    changed = {**payload, **rng.choice(_CLAIMS)}
    signed = f"{_encode(header)}.{_encode(changed)}"
    return f"{signed}.{_sign(signed, forger.key)}"


def _other_payload(rng: Random, forger: Forger, marks: Marks) -> str:
    header, _, _ = _read(forger.token)
    payload: Any = rng.choice([[], None, 1, "a", {}, {"sub": marks.secret(rng)}, json.loads("[" * 900 + "]" * 900)])
    signed = f"{_encode(header)}.{_encode(payload)}"
    return f"{signed}.{_sign(signed, forger.key)}"


def _other_key(rng: Random, forger: Forger, marks: Marks) -> str:
    _, payload, _ = _read(forger.token)
    claims, header = {**payload, "note": marks.secret(rng)}, {"typ": "at+jwt", "kid": forger.key.id}
    return rng.choice(
        [
            jwt.encode(claims, rng.randbytes(32), "HS256", header),
            jwt.encode(claims, _OTHER_KEY.private, "ES256", header),
        ]
    )


def refresh_token(rng: Random, forger: Forger, marks: Marks) -> str:
    """Return a refresh token that no server may accept. One that begins like the spare token ends its session."""
    token = forger.spare_refresh_token
    place = rng.randrange(len(token))
    letter = rng.choice([letter for letter in "Aa0-_" if letter != token[place]])
    altered = token[:place] + letter + token[place + 1 :]
    return rng.choice([altered, token[:place], f"{token}A", token.swapcase(), forger.token, marks.secret(rng)])


def _altered(rng: Random, forger: Forger, marks: Marks) -> str:
    # The last character of a signature has unused bits.
    place = rng.randrange(len(forger.token) - 1)
    letter = rng.choice([letter for letter in "Aa0-_.=+/ %\xff" if letter != forger.token[place]])
    return forger.token[:place] + letter + forger.token[place + 1 :]


def _cut(rng: Random, forger: Forger, marks: Marks) -> str:
    return forger.token[: rng.randrange(len(forger.token) - 1)]


def _padded(rng: Random, forger: Forger, marks: Marks) -> str:
    return rng.choice(["{}=", "{}==", "={}", "{}.", ".{}", "{}.x", "{},x", "{0} {0}", '"{}"', "{}%3D"]).format(
        forger.token
    )


def _nonsense(rng: Random, forger: Forger, marks: Marks) -> str:
    word = marks.secret(rng)
    return rng.choice(
        [word, f"{word}.{word}.{word}", "..", ".", f"{word * 60}.a.b", f"a.b.{'c' * 9000}", "null", "\xff"]
    )


_FORGERIES: list[Callable[[Random, Forger, Marks], str]] = [
    _other_header, _other_claims, _other_payload, _other_key, _altered, _cut, _padded, _nonsense,
]  # fmt: skip


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, payload, signature = token.split(".")
    return _decode(header), _decode(payload), signature


def _decode(part: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "==")))


def _encode(value: Any) -> str:
    return _text(json.dumps(value).encode())


def _sign(text: str, key: SigningKey) -> str:
    return _text(jwt.get_algorithm_by_name(key.algorithm).sign(text.encode(), key.private))


def _confused(text: str, key: SigningKey) -> list[str]:
    """Return tokens signed by HMAC with the public parts of the server's key (RFC 8725, section 2.1)."""
    forms = [(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), (Encoding.X962, PublicFormat.UncompressedPoint)]
    return [_text(hmac.digest(key.public.public_bytes(*form), text.encode(), "sha256")) for form in forms]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
