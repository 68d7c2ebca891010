"""Secrets of programs: their form, their checksum, and the scanner that the documentation shows."""

import re
import zlib
from typing import Any

import jwt

from api.crypto import prefixed_secrets
from tests.support.readme import block

EXPRESSION = block("charter_key_[").text.strip()


def documented_check(text: str) -> bool:
    """Return what the program in the documentation says about a key."""
    program: dict[str, Any] = {}
    exec(block("import string").text, program)  # noqa: S102 - our own documentation
    return bool(program["is_key"](text))


def test_the_documented_expression_finds_every_key_and_no_token() -> None:
    keys = [prefixed_secrets.make("key") for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert re.findall(EXPRESSION, " ".join(keys)) == keys
    token = jwt.encode({"sub": keys[0][12:], "scope": "keys"}, "a secret of at least 32 bytes, here 35")
    assert re.search(EXPRESSION, token) is None
    assert all(prefixed_secrets.is_well_formed(key) for key in keys)
    assert all(documented_check(key) for key in keys[:20])


def test_the_checksum_is_that_of_everything_before() -> None:
    secret = prefixed_secrets.make("svc", "acme")
    assert re.fullmatch("acme_svc_[0-9A-Za-z]{38}", secret)
    number = 0
    for character in secret[-6:]:
        number = number * 62 + prefixed_secrets._ALPHABET.index(character)
    assert number == zlib.crc32(secret[:-6].encode())
    assert prefixed_secrets.hint_of(secret) == secret[: len("acme_svc_") + 4]


def test_each_changed_character_is_noticed() -> None:
    secret = prefixed_secrets.make("key")
    for place, character in enumerate(secret):
        for other in {"0", "a", "_"} - {character}:
            changed = secret[:place] + other + secret[place + 1 :]
            assert not prefixed_secrets.is_well_formed(changed), changed
    for changed in ("", secret[:-1], f"{secret}0", f"{secret}\n", secret.upper()):
        assert not prefixed_secrets.is_well_formed(changed), changed
    assert not documented_check(secret[:-1] + ("0" if secret[-1] != "0" else "1"))
