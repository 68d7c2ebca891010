"""Cursors carry the sort key of an item, and are bound to the list, the user and the filters."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from api.crypto.cursors import CursorCodec, Listing, Value
from api.errors import InvalidCursor

CODEC = CursorCodec(b"secret")
ALICE, BOBBY = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 1, 31, 12, 0, 0, 1, UTC)

KEYS: list[list[Value]] = [
    [ALICE],
    ["ålice", ALICE],
    ["", None, 0, -1, 2**63 - 1],
    [NOON, ALICE],
    [NOON.astimezone(timezone(timedelta(hours=2)))],
    [datetime(2026, 1, 31, 12), date(2026, 1, 31)],
    [Decimal("19.990"), "0", "null"],
    [True, False],
    [],
]
LISTINGS = [
    Listing("users", ALICE),
    Listing("users", BOBBY),
    Listing("events", ALICE),
    Listing("users", ALICE, ["ali"]),
    Listing("users", ALICE, ["ali", None]),
    Listing("users", ALICE, [None, "ali"]),
    Listing("users", ALICE, ["1"]),
    Listing("users", ALICE, [1]),
    Listing("users", ALICE, [NOON]),
    Listing("users", ALICE, [NOON.isoformat()]),
    Listing("users", ALICE, [str(ALICE)]),
    Listing("users", ALICE, [ALICE]),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_cursor_returns_the_sort_key_with_its_types(key: list[Value]) -> None:
    read = CODEC.read(LISTINGS[0], CODEC.make(LISTINGS[0], key))
    assert read == key
    assert [(type(value), str(value)) for value in read] == [(type(value), str(value)) for value in key]


@pytest.mark.parametrize("pair", list(permutations(LISTINGS, 2)), ids=repr)
def test_a_cursor_is_bound_to_its_list_user_and_filters(pair: tuple[Listing, Listing]) -> None:
    made_for, other = pair
    with pytest.raises(InvalidCursor):
        CODEC.read(other, CODEC.make(made_for, [ALICE]))


@pytest.mark.parametrize("secret", [b"", b"other"])
def test_a_cursor_is_bound_to_the_secret(secret: bytes) -> None:
    with pytest.raises(InvalidCursor):
        CODEC.read(LISTINGS[0], CursorCodec(secret).make(LISTINGS[0], [ALICE]))


def test_every_altered_cursor_is_rejected() -> None:
    cursor = CODEC.make(LISTINGS[0], ["alice", ALICE])
    altered: list[Any] = [cursor[:index] for index in range(len(cursor))]
    altered += [cursor[:index] + "-" + cursor[index + 1 :] for index in range(len(cursor)) if cursor[index] != "-"]
    altered += [cursor + "A", cursor + "=", cursor + "====", " " + cursor, cursor + "\n", cursor * 2]
    for text in altered:
        with pytest.raises(InvalidCursor):
            CODEC.read(LISTINGS[0], text)
