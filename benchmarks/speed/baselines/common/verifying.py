"""Verifies access tokens."""

import os

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_KEY = load_pem_public_key(os.environ["PUBLIC_KEY"].encode())


def verify(token: str) -> dict[str, str]:
    """Return the claims of a token. Raises jwt.PyJWTError."""
    return jwt.decode(token, _KEY, algorithms=["ES256"], issuer="http://127.0.0.1:8000", audience="charter")
