"""Strangers never lock a user out: known places and devices have budgets of their own."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from tests.features.test_rate_limits import GENEROUS, HOME, statuses, wrong
from tests.support.mailbox import Mailbox
from tests.support.person import newcomer
from tests.support.types import Travel
from tests.support.workers import at, statements

TRAIN, HOTEL, ELSEWHERE = "203.0.113.8", "203.0.113.9", "198.51.100.1"

pytestmark = pytest.mark.usefixtures("still")


def test_a_device_token_has_a_budget_of_its_own(limited: Callable[..., TestClient]) -> None:
    home, client = limited(*GENEROUS, peer=HOME), limited()
    alice, bobby = newcomer(home, "alice"), newcomer(home, "bobby")
    token, foreign = (person.log_in().json()["device_token"] for person in (alice, bobby))
    alice = at(client, alice)
    assert statuses(wrong(client) for _ in range(11)) == {401: 10, 429: 1}
    assert alice.log_in(device_token=token).status_code == 200
    assert alice.log_in(username=alice.email, device_token=token).status_code == 200
    assert alice.log_in(device_token=foreign).status_code == 429
    assert alice.log_in(device_token=token[:-1]).status_code == 429
    assert statuses(wrong(client, device_token=token) for _ in range(11)) == {401: 10, 429: 1}
    # The end of a token proves the email. The username is proved without it.
    assert statuses(wrong(client, device_token=token[:-1] + end) for end in "AEIM") == {429: 4}


def test_a_known_place_has_a_budget_of_its_own(limited: Callable[..., TestClient]) -> None:
    home, elsewhere = limited(*GENEROUS, peer=HOME), limited(*GENEROUS, peer=ELSEWHERE)
    alice = newcomer(home, "alice")
    newcomer(elsewhere, "bobby")
    assert statuses(wrong(elsewhere) for _ in range(11)) == {401: 10, 429: 1}
    assert at(elsewhere, alice).log_in().status_code == 429
    assert alice.log_in().status_code == 200
    assert statuses(wrong(home) for _ in range(11)) == {401: 10, 429: 1}
    assert alice.log_in().status_code == 429
    # The budget of a name in the place is not that of the other name.
    assert statuses(wrong(elsewhere, alice.email) for _ in range(11)) == {401: 10, 429: 1}
    assert alice.log_in(username=alice.email).status_code == 200


def test_a_known_place_spends_the_shared_budget_first(limited: Callable[..., TestClient]) -> None:
    home, elsewhere = limited(*GENEROUS, peer=HOME), limited(*GENEROUS, peer=ELSEWHERE)
    newcomer(home, "alice")
    assert statuses(wrong(home) for _ in range(21)) == {401: 20, 429: 1}
    assert wrong(elsewhere).status_code == 429


def test_a_new_place_has_a_budget_within_a_second_of_an_attack(
    limited: Callable[..., TestClient], travel: Travel
) -> None:
    home, elsewhere = limited(*GENEROUS, peer=HOME), limited(*GENEROUS, peer=ELSEWHERE)
    alice = newcomer(home, "alice")
    device = alice.device_token
    traveller = at(elsewhere, alice)
    assert statuses(wrong(elsewhere) for _ in range(11)) == {401: 10, 429: 1}
    assert traveller.log_in(device_token=device).status_code == 200
    assert traveller.log_in().status_code == 429
    travel(timedelta(seconds=1))
    assert traveller.log_in().status_code == 200


@pytest.mark.parametrize("name", ["alice", "nobody9"])
def test_places_are_looked_up_alike_for_known_and_unknown_names(
    limited: Callable[..., TestClient], travel: Travel, name: str
) -> None:
    client = limited(*GENEROUS)
    newcomer(limited(peer=HOME), "alice")
    looked_up = []
    for _ in range(13):
        with statements() as sent:
            wrong(client, name)
        looked_up.append(sum("known_places" in statement for statement in sent))
    # A log-in within the shared budget looks no place up. After a refusal, the process remembers an unknown place for a
    # second, so a flood costs the database nothing.
    assert looked_up == [0] * 10 + [1] + [0] * 2
    travel(timedelta(seconds=1))
    with statements() as sent:
        assert wrong(client, name).status_code == 429
    assert sum("known_places" in statement for statement in sent) == 1


@pytest.mark.slow
def test_an_attack_at_50_guesses_a_second_never_locks_the_owner_out(
    limited: Callable[..., TestClient], travel: Travel, mailbox: Mailbox
) -> None:
    home, train, hotel, attacker = (limited(*GENEROUS, peer=peer) for peer in (HOME, TRAIN, HOTEL, ELSEWHERE))
    alice = newcomer(home, "alice")
    device, traveller = alice.device_token, at(train, alice)
    counts: Counter[int] = Counter()

    def attack() -> None:
        travel(timedelta(seconds=1))
        counts.update(statuses(wrong(attacker) for _ in range(50)))

    for _ in range(6):
        attack()
        assert alice.log_in().status_code == 200
        assert at(train, alice).log_in(username=alice.email, device_token=device).status_code == 200
        assert traveller.refresh().status_code == 200
        assert traveller.get("/api/v1/me").status_code == 200
        assert at(hotel, alice).log_in().status_code == 429
    assert hotel.post("/api/v1/auth/password/request", json={"email": alice.email}).status_code == 202
    attack()
    new = "a better battery for this horse"
    body = {"code": mailbox.deliver().code(alice.email), "new_password": new}
    assert hotel.post("/api/v1/auth/password/reset", json=body).status_code == 204
    attack()
    assert at(hotel, alice).log_in(password=new).status_code == 200
    assert counts == {401: 11, 429: 389}
