"""The profile: each user's own."""

from uuid import UUID

from starlette.testclient import TestClient

from tests.conftest import Person


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
