"""Signing keys: generation, and encryption for the database. Only this module uses cryptography."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from api.crypto.secret import derive

_MAKE: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(65537, 3072),
    "HS256": lambda: secrets.token_bytes(32),
}
ALGORITHMS = tuple(_MAKE)
"""The supported algorithms, by their names in RFC 7518, section 3.1, and RFC 8037. The first is the default."""

_NONCE_BYTES = 12


@dataclass(frozen=True)
class SigningKey:
    """One key, for one algorithm. It signs from `activated_at`, and verifies until `retires_at` if that is set."""

    id: str
    algorithm: str
    private: Any
    retires_at: datetime | None = None
    activated_at: datetime | None = None

    @cached_property
    def public(self) -> Any:
        """Return the key that verifies. For HS256, that is the secret key itself, which must never be published."""
        return self.private if self.is_symmetric else self.private.public_key()

    @property
    def is_symmetric(self) -> bool:
        """Return True if the key that verifies can also sign."""
        return self.algorithm == "HS256"


def generate(algorithm: str) -> SigningKey:
    """Generate a key with a new id."""
    return SigningKey(secrets.token_hex(8), algorithm, _MAKE[algorithm]())


class KeyDecryptionError(Exception):
    """The key was encrypted under another secret, or has been altered since."""


class KeyCipher:
    """Encrypts keys under a master secret with AES-256-GCM. Each ciphertext is bound to the key's id and algorithm."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(derive(secret, "signing keys"))

    def seal(self, key: SigningKey) -> bytes:
        """Encrypt a key for the database. Without the secret, the result can be neither read nor forged."""
        plain = key.private if key.is_symmetric else _to_der(key.private)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, _label(key.id, key.algorithm))

    def open(
        self,
        key_id: str,
        algorithm: str,
        sealed: bytes,
        retires_at: datetime | None = None,
        activated_at: datetime | None = None,
    ) -> SigningKey:
        """Decrypt a key. Raises KeyDecryptionError if the ciphertext is not authentic under the secret."""
        nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            plain = self._cipher.decrypt(nonce, box, _label(key_id, algorithm))
        except (InvalidTag, ValueError):
            raise KeyDecryptionError(key_id) from None
        # The ciphertext is authentic, so the slow check of the RSA primes is unnecessary.
        private = (
            plain if algorithm == "HS256" else load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
        )
        return SigningKey(key_id, algorithm, private, retires_at, activated_at)


def _to_der(private: Any) -> bytes:
    der: bytes = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return der


def _label(key_id: str, algorithm: str) -> bytes:
    return f"{key_id} {algorithm}".encode()
