"""The owner of an account logs in while another client guesses its password. This needs the machine for itself."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import httpx
import pytest

from tests.soak.test_rate_limits import QUOTA, TIMEOUT, guess
from tests.support.charter import Charter
from tests.support.person import Person, newcomer
from tests.telemetry.test_metrics import measured

pytestmark = pytest.mark.usefixtures("forked")

GUESSES_A_SECOND, SECONDS_PER_UNIT = 50, 6


def test_an_owner_logs_in_from_a_known_device_or_place_during_an_attack(installed: Charter, long: bool) -> None:
    attack_seconds = 60 if long else 6
    # The shipped limits: an empty setting counts as unset. The long form logs in over 100 times, and the default
    # limit would end the first session, which the test uses.
    settings = {"CHARTER_RATE_LIMITS": "", "CHARTER_SESSIONS_PER_USER": "1000"}
    with (
        measured(installed, **settings) as (server, figures),
        httpx.Client(
            base_url=server.url, timeout=TIMEOUT, transport=httpx.HTTPTransport(local_address="127.0.0.2")
        ) as client,
    ):
        alice = newcomer(client, "alice")
        device, access_token, before = alice.device_token, alice.token, figures.of("charter_password_hashes_total")
        began = monotonic()
        with ThreadPoolExecutor(1) as pool:
            attack = pool.submit(_attack, server.url, "alice", attack_seconds * GUESSES_A_SECOND)
            log_ins = 0
            while not attack.done():
                _assert_is_served(alice, device, access_token)
                log_ins += 2
                sleep(1)
        statuses, seconds = attack.result(), monotonic() - began
        assert log_ins > attack_seconds / 2
        assert statuses.keys() == {401, 429}
        assert QUOTA <= statuses[401] <= QUOTA + seconds / SECONDS_PER_UNIT
        assert figures.of("charter_password_hashes_total") - before == statuses[401] + log_ins


def _attack(url: str, name: str, guesses: int) -> Counter[int]:
    """Send guesses at a constant rate, and return the statuses."""
    began = monotonic()
    with httpx.Client(base_url=url, timeout=TIMEOUT) as client, ThreadPoolExecutor(16) as pool:
        sent = []
        for number in range(guesses):
            sleep(max(0.0, began + number / GUESSES_A_SECOND - monotonic()))
            sent.append(pool.submit(guess, client, name))
    return Counter(response.result() for response in sent)


def _assert_is_served(owner: Person, device: str, access_token: str) -> None:
    """Check that the owner can log in, refresh, and use a session that began before the attack."""
    for proof in ({"device_token": device}, {}):
        assert owner.log_in(**proof).status_code == 200
    assert owner.refresh().status_code == 200
    headers = {"Authorization": f"Bearer {access_token}"}
    assert owner.client.get("/api/v1/me", headers=headers).status_code == 200
