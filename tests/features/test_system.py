"""Liveness, readiness and the published contract."""

from sqlalchemy import text
from starlette.testclient import TestClient

from api import contract
from api.config.paths import resource_dir
from api.storage.database import Database
from tests.support.person import Person


def test_ping_reports_a_running_process(client: TestClient) -> None:
    response = client.get("/ping")
    assert (response.status_code, response.json()) == (200, {"status": "running"})


def test_the_protected_operation_requires_an_access_token(client: TestClient, alice: Person) -> None:
    response, refusal = alice.get("/protected"), client.get("/protected")
    assert (response.status_code, response.json()) == (200, {"message": "Your token is good."})
    assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, "Bearer")
    assert refusal.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "This operation requires an access token. Send Authorization: Bearer <access_token>.",
        "code": "MISSING_TOKEN",
    }


def test_readiness_requires_the_schema_of_this_release(client: TestClient, database: Database) -> None:
    response = client.get("/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    with database.transaction() as db:
        db.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    response = client.get("/ready")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The database schema does not match this release. Run charter migrate.",
        "code": "MIGRATIONS_BEHIND",
    }


def test_the_service_publishes_its_contract(client: TestClient) -> None:
    response = client.get("/openapi.json")
    assert (response.status_code, response.json()) == (200, contract.load(resource_dir("openapi")).document)
