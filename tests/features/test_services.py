"""Service accounts: only admins manage them, and a secret can be replaced without an interruption."""

import re
from binascii import crc32
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import sleep
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.testclient import TestClient

from api import contract, models
from api.config import Config
from api.config.paths import resource_dir
from api.crypto import prefixed_secrets
from api.services.service_accounts import NewSecret
from tests.support.databases import on_sqlite
from tests.support.person import PASSWORD, Person
from tests.support.problems import assert_problem
from tests.support.roles import promote
from tests.support.service_accounts import SERVICE_SCOPES, introspect, new_service
from tests.support.types import Events, Travel
from tests.support.workers import at, stored_bytes, worker

PATH = "/api/v1/service-accounts"
NEW = {"name": "Billing", "scopes": SERVICE_SCOPES}


@pytest.fixture
def admin(config: Config, alice: Person) -> Person:
    """An admin who has just logged in."""
    return promote(config, alice, "admin")


def created(response: httpx.Response) -> NewSecret:
    """Return the credentials in a response."""
    assert response.status_code == 201, response.text
    made = response.json()
    return NewSecret(UUID(made["client_id"]), made["client_secret"])


@pytest.mark.usefixtures("still")
def test_a_secret_is_shown_once_and_stored_as_a_digest(
    client: TestClient, config: Config, admin: Person, events: Events
) -> None:
    response = admin.post(PATH, json=NEW)
    made = created(response)
    secret = made.client_secret
    assert re.fullmatch("charter_svc_[0-9A-Za-z]{38}", secret)
    assert prefixed_secrets.is_well_formed(secret)
    account = admin.get(response.headers["location"]).json()
    moments = {"created_at": account["created_at"]}
    assert account == {
        "client_id": str(made.client_id),
        "name": "Billing",
        "scopes": SERVICE_SCOPES,
        "disabled": False,
        "secrets": [{"hint": secret[:16], "expires_at": None} | moments],
        **moments,
    }
    assert admin.get(PATH).json() == {"items": [account], "next_cursor": None}
    assert secret.encode() not in stored_bytes(config)
    assert ("service_created", {"service_id": str(made.client_id)}) in events()
    assert introspect(client, made, "a").status_code == 200


@on_sqlite
def test_names_are_unique_in_any_case(admin: Person) -> None:
    created(admin.post(PATH, json=NEW))
    assert_problem(admin.post(PATH, json=NEW | {"name": "BILLING"}), 409, "SERVICE_NAME_TAKEN")


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"scopes": ["users:write"]}, "/body/scopes/0", "NOT_ALLOWED"),
        ({"scopes": []}, "/body/scopes", "TOO_FEW"),
        ({"name": " a"}, "/body/name", "WRONG_FORMAT"),
        ({"name": "a" * 81}, "/body/name", "TOO_LONG"),
    ],
)
@on_sqlite
def test_invalid_service_accounts_are_refused(
    admin: Person, change: dict[str, object], pointer: str, code: str
) -> None:
    (fault,) = admin.post(PATH, json=NEW | change).json()["errors"]
    assert (fault["pointer"], fault["code"]) == (pointer, code)


@on_sqlite
def test_an_admin_cannot_grant_a_scope_that_the_admin_lacks(
    config: Config, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = contract.load(resource_dir("openapi"))
    roles = dict(document.document["x-roles"])
    assert "tokens:introspect" in roles["admin"]
    roles["admin"] = [scope for scope in roles["admin"] if scope != "tokens:introspect"]
    changed = contract.Contract(document.document | {"x-roles": roles})
    monkeypatch.setattr("api.contract.load", lambda _: changed)
    with worker(config) as client:
        admin = promote(config, at(client, alice), "admin")
        (fault,) = admin.post(PATH, json=NEW).json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/body/scopes/0", "NOT_ALLOWED")


def test_both_secrets_work_during_the_overlap(client: TestClient, admin: Person, travel: Travel) -> None:
    first = created(admin.post(PATH, json=NEW))
    second = created(admin.post(f"{PATH}/{first.client_id}/secret", json={"overlap_seconds": 60}))
    assert first.client_id == second.client_id
    sleep(0.1)
    assert [introspect(client, each, "a").status_code for each in (first, second)] == [200, 200]
    travel(timedelta(seconds=61))
    assert [introspect(client, each, "a").status_code for each in (first, second)] == [401, 200]
    third = created(admin.post(f"{PATH}/{first.client_id}/secret", json={"overlap_seconds": 60}))
    fourth = created(admin.post(f"{PATH}/{first.client_id}/secret", json={"overlap_seconds": 0}))
    known = [introspect(client, each, "a").status_code for each in (second, third, fourth)]
    assert known == [401, 401, 200]
    assert len(admin.get(f"{PATH}/{first.client_id}").json()["secrets"]) == 1


def test_simultaneous_rotations_leave_at_most_two_secrets(client: TestClient, admin: Person) -> None:
    first = created(admin.post(PATH, json=NEW))
    body, path = {"overlap_seconds": 3600}, f"{PATH}/{first.client_id}/secret"
    with ThreadPoolExecutor(8) as pool:
        made = [created(response) for response in pool.map(lambda _: admin.post(path, json=body), range(8))]
    ends = [secret["expires_at"] for secret in admin.get(f"{PATH}/{first.client_id}").json()["secrets"]]
    assert (len(ends), ends[0], ends[1] is None) == (2, None, False)
    assert sum(introspect(client, each, "a").status_code == 200 for each in made) == 2


def test_a_deleted_service_account_is_gone(client: TestClient, admin: Person) -> None:
    made = created(admin.post(PATH, json=NEW))
    assert introspect(client, made, "a").status_code == 200
    assert admin.delete(f"{PATH}/{made.client_id}").status_code == 204
    assert_problem(introspect(client, made, "a"), 401, "INVALID_CLIENT")
    for response in (
        admin.delete(f"{PATH}/{made.client_id}"),
        admin.get(f"{PATH}/{uuid4()}"),
        admin.post(f"{PATH}/{made.client_id}/secret", json={"overlap_seconds": 0}),
    ):
        assert_problem(response, 404, "NOT_FOUND")


@on_sqlite
def test_changes_require_a_recent_log_in(admin: Person, travel: Travel) -> None:
    made = created(admin.post(PATH, json=NEW))
    travel(timedelta(minutes=14))
    admin.refresh()
    travel(timedelta(minutes=2))
    calls: tuple[Callable[[], httpx.Response], ...] = (
        lambda: admin.post(PATH, json=NEW | {"name": "other"}),
        lambda: admin.post(f"{PATH}/{made.client_id}/secret", json={"overlap_seconds": 0}),
        lambda: admin.delete(f"{PATH}/{made.client_id}"),
    )
    for call in calls:
        assert_problem(call(), 401, "STEP_UP_REQUIRED")
    assert admin.post("/api/v1/auth/step-up", json={"current_password": PASSWORD}).status_code == 204
    assert [call().status_code for call in calls] == [201, 201, 204]


@on_sqlite
def test_pages_show_the_newest_service_accounts_first(config: Config, admin: Person) -> None:
    made = [str(new_service(config, f"service {number}").client_id) for number in range(5)]
    found, cursor = [], ""
    while cursor is not None:
        page = admin.get(f"{PATH}?limit=2{cursor and f'&cursor={cursor}'}").json()
        found += [item["client_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == made[::-1]


def test_the_contract_names_each_scope_of_services() -> None:
    document = contract.load(resource_dir("openapi"))
    schemas = document.document["components"]["schemas"]
    assert {*schemas["ServiceScope"]["enum"]} == document.service_scopes
    lengths = {column.name: getattr(column.type, "length", None) for column in models.services.c}
    # All characters of a name are ASCII, so its canonical form is as long.
    assert schemas["NewServiceAccount"]["properties"]["name"]["maxLength"] == lengths["name"] == lengths["name_key"]
    assert len(" ".join(document.service_scopes)) <= (lengths["scopes"] or 0)


def test_a_secret_has_190_random_bits_and_a_checksum() -> None:
    made = {prefixed_secrets.make("svc", "acme") for _ in range(1000)}
    assert len(made) == 1000
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for secret in made:
        number = 0
        for character in secret[-6:]:
            number = number * 62 + alphabet.index(character)
        assert number == crc32(secret[:-6].encode())
        assert prefixed_secrets.is_well_formed(secret)
        assert not prefixed_secrets.is_well_formed(f"b{secret}")
    assert not any(map(prefixed_secrets.is_well_formed, ("", "charter_svc_", "a.b.c", f"{secret}a")))
