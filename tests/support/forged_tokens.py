"""Access tokens assembled by hand from parts that no library would sign."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm

from api.crypto.signing_keys import SigningKey
from tests.support.person import Person

ABSENT = object()
ATTACKER = generate_private_key(SECP256R1())
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the P-256 group. If (r, s) is a signature, (r, ORDER - s) is one too."""

Sign = Callable[[bytes], bytes]


@dataclass
class Genuine:
    """A valid token of a person, its content, and all keys of the server: the best position of a forger."""

    person: Person
    keys: dict[str, SigningKey]
    secret: bytes
    stranger: Person

    def __post_init__(self) -> None:
        self.text = self.person.token
        self.signed_part, _, self.signature = self.text.rpartition(".")
        self.header, self.claims = (json.loads(decode(part)) for part in self.signed_part.split("."))
        self.key = self.keys["signing"]

    def changed(self, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
        return self.signed(_changed(self.header, header or {}), _changed(self.claims, claims or {}))

    def signed(self, header: object = None, claims: object = None, sign: Sign | None = None) -> str:
        """Return a token with these parts, encoded as JSON unless they are bytes, and a matching signature."""
        parts = [self.header if header is None else header, self.claims if claims is None else claims]
        text = ".".join(encode(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)
        return f"{text}.{encode((sign or es256(self.key.private))(text.encode()))}"

    def by(self, sign: Sign, **header: Any) -> str:
        """Return the same claims signed in another way, with a header that names that way."""
        return self.signed(_changed(self.header, header), sign=sign)

    def resigned(self, signature: bytes) -> str:
        """Return the token with this signature in place of its own."""
        return f"{self.signed_part}.{encode(signature)}"

    def lasting(self, begins: int, ends: int) -> str:
        """Return a token with these times, in seconds from now."""
        now = int(time.time())
        return self.changed(claims={"iat": now + begins, "exp": now + ends})


def es256(private: EllipticCurvePrivateKey, digest: HashAlgorithm | None = None, size: int = 32) -> Sign:
    """Sign as in RFC 7518, section 3.4: r and s, side by side. Parameters can change that."""

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, ECDSA(digest or SHA256())))
        return r.to_bytes(size) + s.to_bytes(size)

    return sign


def signing_with(key: SigningKey) -> Sign:
    """Sign with the algorithm of the key."""
    signs: dict[str, Callable[[], Sign]] = {
        "ES256": lambda: es256(key.private),
        "EdDSA": lambda: key.private.sign,
        "RS256": lambda: lambda data: key.private.sign(data, PKCS1v15(), SHA256()),
        "HS256": lambda: hmac_of(key.private),
    }
    return signs[key.algorithm]()


def hmac_of(secret: bytes, digest: str = "sha256") -> Sign:
    return lambda data: hmac.digest(secret, data, digest)


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


def respelled(token: str) -> str:
    """Return the same bytes in other characters: base64 leaves some bits of the last one unused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert decode(other.rpartition(".")[2]) == decode(token.rpartition(".")[2])
    return other


def _changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (members | changes).items() if value is not ABSENT}
