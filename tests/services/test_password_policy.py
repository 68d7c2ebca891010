"""The password policy accepts random passwords and passphrases."""

import string
from importlib.resources import files
from random import Random

import pytest

from api.services.password_policy import is_hard_to_guess

COUNT = 10_000
CHANCE = Random(1)  # noqa: S311 - a seed repeats it
WORDS = [word for word in (files("api.services") / "common_passwords.txt").read_text().split() if word.isalpha()]
"""The listed words are the worst case: a passphrase of other words is harder to confuse with a listed one."""
ALPHABETS = {
    "letters and digits": string.ascii_letters + string.digits,
    "printable ASCII": string.ascii_letters + string.digits + string.punctuation,
    "lower case": string.ascii_lowercase,
}


@pytest.mark.parametrize("separator", [" ", "-", ""])
def test_no_random_passphrase_of_four_words_is_rejected(separator: str) -> None:
    passphrases = [separator.join(CHANCE.choices(WORDS, k=4)) for _ in range(COUNT)]
    assert [each for each in passphrases if not is_hard_to_guess(each, "Charter")] == []


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_no_random_password_of_12_characters_is_rejected(alphabet: str) -> None:
    passwords = ["".join(CHANCE.choices(ALPHABETS[alphabet], k=12)) for _ in range(COUNT)]
    assert [each for each in passwords if not is_hard_to_guess(each, "Charter")] == []
