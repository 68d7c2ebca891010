"""Password hashes that cost nothing, for every process with this folder on its PYTHONPATH.

Python imports this module before a program starts. A measurement uses it to leave the hash out of a log-in. If
STATEMENTS names a file, the process also writes its SQL statements to this file.
"""

import os
from pathlib import Path

import bcrypt


def _hash(password: bytes, salt: bytes) -> bytes:
    """Return a text in the form of a bcrypt hash."""
    return salt + b"." * 31


def _check(password: bytes, hashed_password: bytes) -> bool:
    return True


bcrypt.hashpw = _hash
bcrypt.checkpw = _check

if "STATEMENTS" in os.environ:
    import statements  # type: ignore[import-not-found]  # the folder is not a package

    statements.write_to(Path(os.environ["STATEMENTS"]))
