"""What must stay secret: how it is written, and how it is made."""

import base64
import hmac
import os
import secrets
import string
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

HOW_TO = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


def parse_secret(text: str) -> bytes:
    """At least 256 random bits, in base64url or hexadecimal.

    Raises ValueError for less, and for what others know too; it tells what is wanted, and never quotes.
    """
    try:
        key = _decode(text)
    except ValueError:
        raise ValueError(f"at least 256 random bits; {HOW_TO}") from None
    if len(key) < 32 or len(set(key)) < 16:
        raise ValueError(f"at least 256 random bits; {HOW_TO}")
    if key in _WELL_KNOWN:
        raise ValueError(f"a secret that nobody else knows: at least 256 random bits; {HOW_TO}")
    return key


def _decode(text: str) -> bytes:
    # A base64url of 256 random bits practically never lacks a letter after f.
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
    """A key of 256 bits for one purpose: whoever learns it learns neither the secret nor another such key."""
    return hmac.digest(secret, purpose.encode(), "sha256")


def read_secret(file: Path) -> bytes:
    """The secret in `file`.

    Raises OSError when it cannot be read, ValueError when it holds no secret.
    """
    return parse_secret(file.read_text(errors="replace").strip())


def keep_secret(file: Path) -> bytes:
    """The secret in `file`, which is made at the first start for its owner alone.

    Raises OSError when it cannot be read or written, ValueError when it holds no secret.
    """
    if not file.exists():
        _create(file, secrets.token_urlsafe(32))
    return read_secret(file)


def _create(file: Path, text: str) -> None:
    """Write a new file whole or not at all; of two processes that do it at once, the first wins."""
    with NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.") as draft:
        draft.write(text + "\n")
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, file)
