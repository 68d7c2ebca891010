"""Secrets: parsing, key derivation, and the files that store them."""

import base64
import hmac
import os
import secrets
import string
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

GENERATE_HINT = "generate one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


def parse_secret(text: str) -> bytes:
    """Parse a secret of at least 256 random bits, in base64url or hexadecimal.

    Raises ValueError for shorter and for well-known secrets. The message never quotes the secret.
    """
    try:
        key = _decode(text)
    except ValueError:
        raise ValueError(f"at least 256 random bits; {GENERATE_HINT}") from None
    if len(key) < 32 or len(set(key)) < 16:
        raise ValueError(f"at least 256 random bits; {GENERATE_HINT}")
    if key in _WELL_KNOWN:
        raise ValueError(f"a secret that is not publicly known, of at least 256 random bits; {GENERATE_HINT}")
    return key


def _decode(text: str) -> bytes:
    # 256 random bits in base64url practically always contain a letter after f.
    if set(text) <= set(string.hexdigits):
        return bytes.fromhex(text)
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


_WELL_KNOWN = {
    # The example key of FastAPI's tutorial, and the alphabet in its usual orders.
    _decode("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"),
    _decode(string.ascii_uppercase + string.ascii_lowercase),
    _decode(string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"),
}


def derive(secret: bytes, purpose: str) -> bytes:
    """Derive a 256-bit key for one purpose. The key reveals neither the secret nor a key for another purpose."""
    return hmac.digest(secret, purpose.encode(), "sha256")


def read_secret(file: Path) -> bytes:
    """Return the secret in `file`.

    Raises OSError if the file cannot be read, and ValueError if the content is not a valid secret.
    """
    return parse_secret(file.read_text(errors="replace").strip())


def load_or_create(file: Path) -> bytes:
    """Return the secret in `file`. The first call creates the file, readable only by its owner.

    Raises OSError if the file cannot be read or written, and ValueError if the content is not a valid secret.
    """
    if not file.exists():
        _create(file, secrets.token_urlsafe(32))
    return read_secret(file)


def _create(file: Path, text: str) -> None:
    """Create a file completely or not at all. If two processes create the file at once, the first one wins."""
    with NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.") as draft:
        draft.write(text + "\n")
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, file)
