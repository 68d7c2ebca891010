"""The profile: each user's own."""

from time import sleep
from uuid import UUID

from starlette.testclient import TestClient

from api.config import Config
from tests.support.person import Person, newcomer
from tests.support.workers import by_hand, worker


def test_the_profile_is_the_callers_own(alice: Person, bobby: Person) -> None:
    answer = alice.get("/api/v1/me")
    profile = answer.json()
    assert (answer.status_code, profile) == (
        200,
        {"id": alice.id, "username": "alice", "email": "alice@example.com", "created_at": profile["created_at"]},
    )
    assert UUID(alice.id).version == 7
    assert bobby.get("/api/v1/me").json() == {
        "id": bobby.id,
        "username": "bobby",
        "email": "bobby@example.com",
        "created_at": bobby.get("/api/v1/me").json()["created_at"],
    }
    assert alice.id != bobby.id


def test_a_stranger_has_no_profile(client: TestClient) -> None:
    answer = client.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "MISSING_TOKEN")


def test_what_changes_in_it_is_seen_at_once_whoever_changes_it(config: Config) -> None:
    shown = ("username", "email", "created_at")
    with worker(config) as client:
        alice = newcomer(client, "alice")
        before = alice.get("/api/v1/me").json()
        for column, value in zip(shown, ("carol", "carol@example.com", "2026-01-31 12:00:00.000000"), strict=True):
            by_hand(config, f"UPDATE users SET {column} = '{value}'")  # noqa: S608 - both stand above
            sleep(0.1)
            after = alice.get("/api/v1/me").json()
            assert {name for name in before if before[name] != after[name]} == {column}
            before = after
    assert before.keys() - shown == {"id"}
