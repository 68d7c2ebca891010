"""Whether it is up, whether it is ready, and what it offers."""

from sqlalchemy import text
from starlette.testclient import TestClient

from api import contract
from api.config.paths import resource_dir
from api.storage.database import Database
from tests.support.person import Person


def test_a_live_process_says_so(client: TestClient) -> None:
    answer = client.get("/ping")
    assert (answer.status_code, answer.json()) == (200, {"status": "running"})


def test_what_is_protected_opens_to_an_access_token_alone(client: TestClient, alice: Person) -> None:
    answer, refusal = alice.get("/protected"), client.get("/protected")
    assert (answer.status_code, answer.json()) == (200, {"message": "Your token is good."})
    assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, "Bearer")
    assert refusal.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "This operation requires an access token. Send Authorization: Bearer <access_token>.",
        "code": "MISSING_TOKEN",
    }


def test_it_is_ready_when_the_database_has_the_schema_of_this_release(client: TestClient, database: Database) -> None:
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    with database.transaction() as db:
        db.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    answer = client.get("/ready")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The database schema does not match this release. Run charter migrate.",
        "code": "MIGRATIONS_BEHIND",
    }


def test_it_publishes_the_contract_it_is_made_of(client: TestClient) -> None:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.json()) == (200, contract.load(resource_dir("openapi")).document)
