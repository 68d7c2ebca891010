"""Step-up: operations with `x-step-up` require a recent proof of identity, which `stepUp` renews."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from httpx import Response

from api import app as composition
from api.config import Config
from api.config.paths import resource_dir
from api.services import users
from tests.support.charter import until
from tests.support.databases import on_sqlite
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel
from tests.support.workers import at, worker

STEP_UP = "/api/v1/auth/step-up"
ME = "/api/v1/sessions"
LATER = timedelta(minutes=14)
TOO_OLD = timedelta(minutes=15, seconds=1)


@pytest.fixture
def sensitive_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let GET /api/v1/sessions require a proof of identity in the last 15 minutes."""
    folder = Path(shutil.copytree(resource_dir("openapi"), tmp_path / "openapi"))
    text = (folder / "sessions.yaml").read_text()
    (folder / "sessions.yaml").write_text(
        text.replace("x-scopes: [sessions]", "x-scopes: [sessions]\n      x-step-up: {seconds: 900}", 1)
    )
    monkeypatch.setattr(composition, "resource_dir", lambda name: folder if name == "openapi" else resource_dir(name))


@pytest.fixture
def alice(sensitive_profile: None, travel: Travel, config: Config) -> Iterator[Person]:
    """A user who has just logged in on a worker with a sensitive operation."""
    with worker(config) as client:
        yield newcomer(client, "alice")


def step_up(person: Person, password: str = PASSWORD) -> Response:
    return person.post(STEP_UP, json={"current_password": password})


def claims(person: Person) -> Any:
    return jwt.decode(person.token, options={"verify_signature": False})


def test_an_old_proof_of_identity_is_renewed_for_the_old_token(alice: Person, travel: Travel, events: Events) -> None:
    travel(LATER)
    assert alice.get(ME).status_code == 200
    # A refresh proves nothing.
    assert alice.refresh().status_code == 200
    travel(TOO_OLD - LATER)
    refused = alice.get(ME)
    assert_problem(refused, 401, "STEP_UP_REQUIRED")
    challenge = 'Bearer error="insufficient_user_authentication", max_age="900"'
    assert refused.headers["www-authenticate"] == challenge
    assert alice.get("/protected").status_code == 200
    assert_problem(step_up(alice, "wrong"), 403, "WRONG_PASSWORD")
    assert_problem(alice.get(ME), 401, "STEP_UP_REQUIRED")
    proved = step_up(alice)
    assert (proved.status_code, proved.content) == (204, b"")
    assert alice.get(ME).status_code == 200
    names = [name for name, _ in events()]
    assert names[-3:] == ["session_refreshed", "step_up_failed", "stepped_up"]


def test_an_export_requires_a_recent_proof_of_identity(alice: Person, travel: Travel) -> None:
    travel(TOO_OLD)
    assert alice.refresh().status_code == 200
    assert_problem(alice.get("/api/v1/me/export"), 401, "STEP_UP_REQUIRED")
    assert step_up(alice).status_code == 204
    assert alice.get("/api/v1/me/export").status_code == 200


def test_tokens_have_the_time_of_the_latest_proof(alice: Person, travel: Travel) -> None:
    logged_in = claims(alice)
    assert logged_in["auth_time"] == logged_in["iat"]
    travel(LATER)
    alice.refresh()
    assert claims(alice)["auth_time"] == logged_in["iat"] == claims(alice)["iat"] - LATER.total_seconds()
    travel(LATER)
    assert step_up(alice).status_code == 204
    proved = claims(alice)["iat"] + LATER.total_seconds()
    travel(LATER)
    alice.refresh()
    assert claims(alice)["auth_time"] == proved == claims(alice)["iat"] - LATER.total_seconds()


def test_a_proof_counts_only_for_its_session_and_on_all_workers(alice: Person, config: Config, travel: Travel) -> None:
    phone, laptop = alice, at(alice.client, alice)
    assert laptop.log_in().status_code == 200
    with worker(config) as there:
        travel(TOO_OLD)
        assert (phone.refresh().status_code, laptop.refresh().status_code) == (200, 200)
        everywhere = [phone, at(there, phone), laptop, at(there, laptop)]
        assert [person.get(ME).status_code for person in everywhere] == [401] * 4
        assert step_up(phone).status_code == 204
        assert phone.get(ME).status_code == 200
        until(lambda: everywhere[1].get(ME).status_code == 200)
        assert [person.get(ME).status_code for person in everywhere] == [200, 200, 401, 401]


def test_a_log_in_proves_the_identity(alice: Person, travel: Travel) -> None:
    travel(TOO_OLD)
    assert alice.log_in().status_code == 200
    assert alice.get(ME).status_code == 200


@on_sqlite
def test_a_session_that_ended_meanwhile_is_not_stepped_up(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    other = at(alice.client, alice)
    other.log_in()
    find = users.find

    def end_then_find(*arguments: Any) -> Any:
        found = find(*arguments)
        assert other.delete("/api/v1/sessions").status_code == 204
        return found

    monkeypatch.setattr(users, "find", end_then_find)
    assert_problem(step_up(alice), 401, "INVALID_TOKEN")
