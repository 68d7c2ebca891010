"""The profile of the caller."""

from time import sleep
from uuid import UUID

from starlette.testclient import TestClient

from api.config import Config
from tests.support.databases import on_sqlite
from tests.support.person import FRESH, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.workers import by_hand, worker


def test_the_profile_is_that_of_the_caller(alice: Person, bobby: Person) -> None:
    response = alice.get("/api/v1/me")
    profile = response.json()
    assert (response.status_code, profile) == (
        200,
        {
            "id": alice.id,
            "username": "alice",
            "email": "alice@example.com",
            "created_at": profile["created_at"],
            **FRESH,
        },
    )
    assert UUID(alice.id).version == 7
    assert bobby.get("/api/v1/me").json() == {
        "id": bobby.id,
        "username": "bobby",
        "email": "bobby@example.com",
        "created_at": bobby.get("/api/v1/me").json()["created_at"],
        **FRESH,
    }
    assert alice.id != bobby.id


@on_sqlite
def test_the_profile_requires_a_token(client: TestClient) -> None:
    response = client.get("/api/v1/me")
    assert_problem(response, 401, "MISSING_TOKEN")


def test_the_profile_shows_changes_within_100_ms(config: Config) -> None:
    stored = {
        "username": "carol",
        "email": "carol@example.com",
        "created_at": "2026-01-31 12:00:00.000000",
        "email_verified_at": "2026-01-31 12:00:00.000000",
        "pending_email": "dave@example.com",
        "display_name": "Carol",
        "locale": "de",
        "role": "admin",
    }
    with worker(config) as client:
        alice = newcomer(client, "alice")
        before = alice.get("/api/v1/me").json()
        for column, value in stored.items():
            by_hand(config, f"UPDATE users SET {column} = '{value}'")  # noqa: S608 - both are constants above
            sleep(0.1)
            after = alice.get("/api/v1/me").json()
            assert {name for name in before if before[name] != after[name]} == {
                column.replace("verified_at", "verified")
            }
            before = after
    assert before.keys() - stored == {"id", "email_verified"}
