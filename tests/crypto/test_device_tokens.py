"""A device token belongs to the log-in names of one user, for 180 days."""

from datetime import timedelta

import pytest

from api.crypto.device_tokens import DeviceTokenCodec
from tests.support.types import Travel

CODEC = DeviceTokenCodec(b"secret")
NAMES = ("alice", "alice@example.com")


@pytest.mark.parametrize("name", NAMES)
def test_a_token_belongs_to_the_names_of_its_user(name: str) -> None:
    assert CODEC.device_of(CODEC.make(NAMES), name)


@pytest.mark.parametrize("name", ["", "bobby", "alice@example", "Alice", "alicealice@example.com"])
def test_a_token_belongs_to_no_other_name(name: str) -> None:
    assert CODEC.device_of(CODEC.make(NAMES), name) is None


def test_a_token_is_bound_to_the_secret() -> None:
    assert DeviceTokenCodec(b"other").device_of(CODEC.make(NAMES), "alice") is None


def test_each_token_is_different() -> None:
    assert len({CODEC.make(NAMES) for _ in range(100)}) == 100


def test_a_token_expires_after_180_days(travel: Travel) -> None:
    token = CODEC.make(NAMES)
    travel(timedelta(days=180, seconds=-1))
    assert CODEC.device_of(token, "alice")
    travel(timedelta(seconds=2))
    assert CODEC.device_of(token, "alice") is None


def test_every_altered_token_is_rejected() -> None:
    token = CODEC.make(NAMES)
    altered = [token[:index] for index in range(len(token))]
    # A change of the tag of the email leaves the token valid for the username.
    altered += [token[:index] + "-" + token[index + 1 :] for index in range(42) if token[index] != "-"]
    altered += [token + "A", token + "====", " " + token, token + "\n", token * 2, "é" * 64, "A" * 64]
    assert not any(CODEC.device_of(text, "alice") for text in altered)


def test_a_change_of_the_other_tag_leaves_the_device_the_same() -> None:
    token = CODEC.make(NAMES)
    altered = [token[:index] + "-" + token[index + 1 :] for index in range(44, 64)]
    assert {CODEC.device_of(text, "alice") for text in altered} == {CODEC.device_of(token, "alice")}
    assert CODEC.device_of(token, "alice") != CODEC.device_of(CODEC.make(NAMES), "alice")
