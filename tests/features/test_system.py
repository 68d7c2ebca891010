"""Liveness, readiness and the published contract."""

from dataclasses import replace

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api import contract
from api.app import create_app
from api.config import Config
from api.config.paths import resource_dir
from api.storage.database import Database
from tests.support.databases import on_sqlite
from tests.support.person import Person


@on_sqlite
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
        db.run(text("UPDATE alembic_version SET version_num = 'another'"))
    response = client.get("/ready")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The database is at another revision. Run charter migrate of the newest release and start it.",
        "code": "MIGRATIONS_BEHIND",
    }


@on_sqlite
@pytest.mark.usefixtures("all_features")
def test_the_service_publishes_its_contract(config: Config) -> None:
    with TestClient(create_app(replace(config, rate_limits=()))) as client:
        response = client.get("/openapi.json")
    assert (response.status_code, response.json()) == (200, contract.published(contract.load(resource_dir("openapi"))))


def test_the_public_url_is_in_the_contract_and_the_location(config: Config) -> None:
    url = "https://example.com/auth"
    with TestClient(create_app(replace(config, public_url=url))) as client:
        document = client.get("/openapi.json").json()
        assert [server["url"] for server in document["servers"]] == [url]
        created = document["paths"]["/api/v1/auth/signup"]["post"]["responses"]["201"]
        # With the setting of these tests, a Location that the contract does not promise fails the test.
        location = Person(client, "alice").sign_up().headers["location"]
        assert created["headers"]["Location"]["schema"]["enum"] == [location] == [f"{url}/api/v1/me"]
