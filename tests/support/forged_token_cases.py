"""Headers, claims, keys and signatures of forged access tokens, which no server may accept."""

import base64
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.crypto.access_tokens import public_jwk
from api.crypto.secret import derive
from api.crypto.signing_keys import SigningKey
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
from tests.support.person import Person

ATTACKERS_SECRET = bytes(range(64, 96))
LIFETIME = 900


def sid(person: Person) -> str:
    return str(json.loads(decode(person.token.split(".")[1]))["sid"])


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
    *({"client_id": value} for value in (None, True, 1.5, 1, ["charter"], {"id": "charter"})),
    # A token without a session must never count as the token of its user.
    {"sid": ABSENT, "client_id": "charter"},
    {"sid": ABSENT, "client_id": ABSENT},
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
