"""Refresh tokens: each works once, and later reuse ends its session."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from api import clock, models
from api.config import Config
from api.storage.database import Database
from tests.features.test_sessions import session_of
from tests.support.concurrency import at_once
from tests.support.person import Person, newcomer, token_pair
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel
from tests.support.workers import MonitorClock, statements, worker

# On a slow machine, the grace period of a token could end during a test.
pytestmark = pytest.mark.usefixtures("still")

GRACE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def refresh(client: httpx.Client, token: str) -> httpx.Response:
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def unauthorized_code(response: httpx.Response) -> str:
    """Return the code of a 401 response. Assert that it contains no tokens."""
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json().keys() == {"type", "title", "status", "detail", "code"}
    return str(response.json()["code"])


def test_a_refresh_continues_the_session_with_new_tokens(alice: Person) -> None:
    before, session = (alice.token, alice.refresh_token), session_of(alice)
    response = alice.refresh()
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert response.json() == token_pair(alice)
    assert not {alice.token, alice.refresh_token} & set(before)
    assert alice.get("/protected").status_code == 200
    assert session_of(alice) == session
    assert len(alice.get("/api/v1/sessions").json()["items"]) == 1


def test_a_refresh_token_has_256_new_random_bits(alice: Person) -> None:
    tokens = [alice.refresh_token]
    for _ in range(20):
        alice.refresh()
        tokens.append(alice.refresh_token)
    raw = [base64.urlsafe_b64decode(token) for token in tokens]
    assert {len(token) for token in raw} == {16 + 32}
    assert len({token[:16] for token in raw}) == 1
    assert len({token[at : at + 8] for token in raw for at in range(16, 48, 8)}) == 4 * len(tokens)


def test_the_previous_access_token_stays_valid_until_it_expires(alice: Person, travel: Travel) -> None:
    before = alice.headers
    alice.refresh()
    assert alice.client.get("/protected", headers=before).status_code == 200
    travel(timedelta(seconds=900 + 30))
    assert alice.client.get("/protected", headers=before).status_code == 401


def test_a_retry_within_the_grace_period_returns_the_lost_token(alice: Person, travel: Travel) -> None:
    used = alice.refresh_token
    alice.refresh()
    lost = alice.refresh_token
    travel(GRACE - SECOND)
    for _ in range(3):
        alice.refresh_token = used
        assert alice.refresh().status_code == 200
        assert alice.refresh_token == lost
        assert alice.get("/protected").status_code == 200
    assert alice.refresh().status_code == 200


def test_a_retry_within_the_grace_period_returns_the_newest_token(alice: Person, travel: Travel) -> None:
    used = alice.refresh_token
    for _ in range(5):
        alice.refresh()
    travel(GRACE - SECOND)
    # The session still remembers the earlier ones.
    alice.refresh()
    newest = alice.refresh_token
    alice.refresh_token = used
    assert alice.refresh().status_code == 200
    assert alice.refresh_token == newest
    travel(DAY)
    assert alice.refresh().status_code == 200


@pytest.fixture
def monitor_clock(monkeypatch: pytest.MonkeyPatch) -> MonitorClock:
    return MonitorClock(monkeypatch)


def test_a_retry_costs_the_same_after_any_number_of_refreshes(monitor_clock: MonitorClock, alice: Person) -> None:
    used, sent = alice.refresh_token, []
    for _ in range(20):
        alice.refresh()
        with statements() as found:
            assert refresh(alice.client, used).json()["refresh_token"] == alice.refresh_token
        # The signing keys are read again when the cache is 100 ms old.
        sent.append(len([statement for statement in found if "signing_keys" not in statement]))
    assert set(sent) == {sent[0]}


def test_a_retry_returns_the_newest_token_despite_clock_skew(alice: Person, travel: Travel) -> None:
    used = alice.refresh_token
    for seconds in (5, -5, 12):
        travel(timedelta(seconds=seconds))
        assert alice.refresh().status_code == 200
    newest = alice.refresh_token
    travel(timedelta(seconds=-4))
    alice.refresh_token = used
    assert alice.refresh().status_code == 200
    assert alice.refresh_token == newest


def test_a_retry_does_not_extend_the_grace_period(alice: Person, travel: Travel) -> None:
    used = alice.refresh_token
    for _ in range(2):
        alice.refresh_token = used
        assert alice.refresh().status_code == 200
        travel(GRACE / 2 + SECOND)
    assert unauthorized_code(refresh(alice.client, used)) == "REFRESH_TOKEN_REUSED"


@pytest.mark.parametrize("seconds", [0, 1, 300])
def test_the_grace_period_is_configurable(config: Config, travel: Travel, seconds: int) -> None:
    with worker(replace(config, refresh_grace_seconds=seconds)) as client:
        alice = newcomer(client, "alice")
        used = alice.refresh_token
        alice.refresh()
        if seconds:
            travel(timedelta(seconds=seconds) - SECOND / 2)
            assert refresh(client, used).json()["refresh_token"] == alice.refresh_token
        travel(SECOND / 2)
        assert unauthorized_code(refresh(client, used)) == "REFRESH_TOKEN_REUSED"


def test_reuse_after_the_grace_period_ends_only_that_session(
    client: TestClient, alice: Person, bobby: Person, travel: Travel, events: Events
) -> None:
    phone = Person(client, "alice")
    phone.log_in()
    stolen, session = alice.refresh_token, session_of(alice)
    alice.refresh()
    travel(GRACE)
    response = refresh(client, stolen)
    assert unauthorized_code(response) == "REFRESH_TOKEN_REUSED"
    assert events()[-1] == ("refresh_token_reused", {"user_id": alice.id, "session_id": session})
    assert alice.get("/protected").json()["code"] == "INVALID_TOKEN"
    assert unauthorized_code(refresh(client, alice.refresh_token)) == "INVALID_REFRESH_TOKEN"
    assert unauthorized_code(refresh(client, stolen)) == "INVALID_REFRESH_TOKEN"
    for other in (phone, bobby):
        assert [other.get("/protected").status_code, other.refresh().status_code] == [200, 200]
    assert [name for name, _ in events()].count("refresh_token_reused") == 1


@pytest.mark.parametrize("ago", [1, 2, 30])
def test_reuse_of_a_much_older_token_is_detected(alice: Person, travel: Travel, ago: int) -> None:
    stolen = alice.refresh_token
    for _ in range(ago):
        assert alice.refresh().status_code == 200
        travel(DAY)
    assert unauthorized_code(refresh(alice.client, stolen)) == "REFRESH_TOKEN_REUSED"
    assert unauthorized_code(alice.refresh()) == "INVALID_REFRESH_TOKEN"


def test_an_altered_refresh_token_is_rejected(alice: Person) -> None:
    token = alice.refresh_token
    other = "B" if token[0] == "A" else "A"
    assert unauthorized_code(refresh(alice.client, other + token[1:])) == "INVALID_REFRESH_TOKEN"
    assert alice.refresh().status_code == 200
    # A client that knows the first part of a token must have seen a token of that session.
    token = alice.refresh_token
    assert (
        unauthorized_code(refresh(alice.client, token[:-1] + ("B" if token[-1] == "A" else "A")))
        == "REFRESH_TOKEN_REUSED"
    )
    assert unauthorized_code(alice.refresh()) == "INVALID_REFRESH_TOKEN"


@pytest.mark.parametrize("token", ["A", "A" * 63, "A" * 64, "A" * 65, "_" * 64, "-" * 256])
def test_a_malformed_refresh_token_is_rejected_and_ends_no_session(alice: Person, token: str) -> None:
    assert unauthorized_code(refresh(alice.client, token)) == "INVALID_REFRESH_TOKEN"
    assert alice.refresh().status_code == 200


RESPELLINGS: dict[str, Callable[[str], object]] = {
    "padded": lambda token: f"{token}=",
    "with a line break": lambda token: f"{token}\n",
    "with a space": lambda token: f" {token}",
    "in the other base64": lambda token: f"{token[:-1]}+",
    "in full width": lambda token: token[:-1] + chr(0xFEE0 + ord(token[-1])),
    "four times": lambda token: 4 * token + "A",
    "in a list": lambda token: [token],
    "empty": lambda token: token[:0],
}


@pytest.mark.parametrize("spelling", RESPELLINGS)
def test_a_refresh_token_has_one_spelling(alice: Person, spelling: str) -> None:
    respelled = RESPELLINGS[spelling](alice.refresh_token)
    response = alice.client.post("/api/v1/auth/refresh", json={"refresh_token": respelled})
    assert_problem(response, 400, "INVALID_INPUT")
    assert {fault["pointer"] for fault in response.json()["errors"]} == {"/body/refresh_token"}
    assert alice.refresh().status_code == 200


def test_access_and_refresh_tokens_are_not_interchangeable(alice: Person) -> None:
    assert refresh(alice.client, alice.token).status_code == 400
    response = alice.client.get("/protected", headers={"Authorization": f"Bearer {alice.refresh_token}"})
    assert unauthorized_code(response) == "INVALID_TOKEN"
    assert [alice.get("/protected").status_code, alice.refresh().status_code] == [200, 200]


def test_a_session_ends_after_30_days_without_use(alice: Person, travel: Travel) -> None:
    travel(30 * DAY - timedelta(minutes=1))
    assert alice.refresh().json()["refresh_expires_in"] == 30 * 86_400
    travel(30 * DAY)
    assert unauthorized_code(alice.refresh()) == "INVALID_REFRESH_TOKEN"
    assert alice.get("/protected").status_code == 401


def test_a_session_ends_after_90_days_despite_use(alice: Person, travel: Travel) -> None:
    left = []
    for days in (29, 29, 29, 2):
        travel(days * DAY)
        left.append(alice.refresh().json()["refresh_expires_in"] / 86_400)
    assert left == [pytest.approx(days, abs=0.01) for days in (30, 30, 3, 1)]
    travel(DAY)
    assert unauthorized_code(alice.refresh()) == "INVALID_REFRESH_TOKEN"
    assert alice.get("/protected").status_code == 401


def test_both_lifetimes_of_a_session_are_configurable(config: Config, travel: Travel) -> None:
    with worker(replace(config, session_idle_seconds=2 * 86_400, session_seconds=3 * 86_400)) as client:
        idle, busy = newcomer(client, "alice"), newcomer(client, "bobby")
        for days in (2, 2, 1):
            assert busy.refresh().json()["refresh_expires_in"] == pytest.approx(days * 86_400, abs=60)
            travel(DAY)
        assert unauthorized_code(idle.refresh()) == unauthorized_code(busy.refresh()) == "INVALID_REFRESH_TOKEN"


def test_a_shorter_lifetime_ends_older_sessions(alice: Person, config: Config, travel: Travel) -> None:
    travel(4 * DAY)
    with worker(replace(config, session_seconds=3 * 86_400)) as client:
        assert unauthorized_code(replace(alice, client=client).refresh()) == "INVALID_REFRESH_TOKEN"


def test_no_token_outlives_its_session(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = datetime.fromisoformat(alice.get("/api/v1/sessions").json()["items"][0]["created_at"]) + 90 * DAY
    for before in (75 * DAY, 50 * DAY, 25 * DAY, timedelta(seconds=100), timedelta(seconds=0.3)):
        monkeypatch.setattr(clock, "now", lambda at=ends - before: at)
        body = alice.refresh().json()
        assert 1 <= body["expires_in"] <= max(1, min(900, before.total_seconds()))
        assert 1 <= body["refresh_expires_in"] <= max(1, min(30 * 86_400, before.total_seconds()))
    # The clocks of two hosts may differ by 10 seconds.
    monkeypatch.setattr(clock, "now", lambda: ends + timedelta(seconds=11))
    assert alice.get("/protected").status_code == 401
    assert unauthorized_code(alice.refresh()) == "INVALID_REFRESH_TOKEN"


def latest_refreshes(database: Database) -> list[int]:
    """Return the times of the latest refreshes of the only session."""
    with database.transaction() as db:
        times: list[int] = db.run(select(models.sessions.c.refreshes)).scalar_one()
    return times


def test_a_session_remembers_refreshes_for_the_grace_period(alice: Person, database: Database, travel: Travel) -> None:
    used = alice.refresh_token
    for count in range(1, 21):
        alice.refresh()
        assert len(latest_refreshes(database)) == count
    travel(GRACE)
    assert alice.refresh().status_code == 200
    assert latest_refreshes(database) == [int(clock.now().timestamp() * 1000)]
    assert unauthorized_code(refresh(alice.client, used)) == "REFRESH_TOKEN_REUSED"


@pytest.mark.slow
def test_a_session_remembers_at_most_100_refreshes(alice: Person, database: Database) -> None:
    tokens = [alice.refresh_token]
    for _ in range(101):
        alice.refresh()
        tokens.append(alice.refresh_token)
    assert len(latest_refreshes(database)) == 100
    # PostgreSQL moves a row of more than 2,000 bytes to another table.
    assert len(json.dumps(latest_refreshes(database))) <= 1_500
    assert refresh(alice.client, tokens[1]).json()["refresh_token"] == tokens[-1]
    assert unauthorized_code(refresh(alice.client, tokens[0])) == "REFRESH_TOKEN_REUSED"


@pytest.mark.parametrize("requests", [2, 8])
@pytest.mark.slow
def test_concurrent_refreshes_with_one_token_get_the_same_token(server: str, requests: int) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
        for _ in range(10):
            responses = at_once(*[partial(refresh, client, alice.refresh_token)] * requests)
            [alice.refresh_token] = {response.json()["refresh_token"] for response in responses}
            assert {response.status_code for response in responses} == {200}
        assert alice.refresh().status_code == 200


@pytest.mark.slow
def test_a_concurrent_refresh_does_not_restore_a_revoked_session(server: str) -> None:
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
        for _ in range(20):
            lost = Person(client, "alice")
            lost.log_in()
            session = session_of(lost)
            revoked, refreshed = at_once(partial(alice.delete, f"/api/v1/sessions/{session}"), lost.refresh)
            assert (revoked.status_code, refreshed.status_code) in {(204, 200), (204, 401)}
            assert lost.token == "" or (lost.get("/protected").status_code, lost.refresh().status_code) == (401, 401)
