"""Changes of a profile: a merge patch, and usernames that stay reserved after a change."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.config import Config
from api.services import usernames
from api.storage.database import Database
from tests.support.concurrency import at_once
from tests.support.databases import on_sqlite
from tests.support.mailbox import Mailbox
from tests.support.person import Person, newcomer
from tests.support.problems import assert_problem
from tests.support.types import Events, Travel
from tests.support.workers import at, worker

DAY = timedelta(days=1)


def profile(person: Person) -> dict[str, Any]:
    return dict(person.get("/api/v1/me").json())


def test_a_merge_patch_sets_and_removes_what_it_names(alice: Person, bobby: Person, events: Events) -> None:
    before = profile(alice)
    response = alice.change_profile(display_name="Алиса \U0001f431", locale="de-AT")
    assert (response.status_code, response.json()) == (
        200,
        before | {"display_name": "Алиса \U0001f431", "locale": "de-AT"},
    )
    assert profile(alice) == response.json()
    assert alice.change_profile(display_name=None).json() == before | {"locale": "de-AT"}
    assert profile(bobby) == before | {name: profile(bobby)[name] for name in ("id", "username", "email", "created_at")}
    assert events()[-1] == ("profile_changed", {"user_id": alice.id})


@on_sqlite
@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({}, "/body", "TOO_FEW"),
        ({"email": "x@y.zz"}, "/body", "UNKNOWN"),
        ({"role": "admin"}, "/body", "UNKNOWN"),
        ({"id": 1}, "/body", "UNKNOWN"),
        ({"email_verified": True}, "/body", "UNKNOWN"),
        ({"username": None}, "/body/username", "WRONG_TYPE"),
        ({"username": "administrator"}, "/body/username", "WRONG_FORMAT"),
        ({"display_name": ""}, "/body/display_name", "TOO_SHORT"),
        ({"display_name": "x" * 81}, "/body/display_name", "TOO_LONG"),
        ({"display_name": "a\u202eb"}, "/body/display_name", "WRONG_FORMAT"),
        ({"display_name": "a\nb"}, "/body/display_name", "WRONG_FORMAT"),
        ({"locale": "german!"}, "/body/locale", "WRONG_FORMAT"),
        ({"locale": 7}, "/body/locale", "WRONG_TYPE"),
    ],
)
def test_an_invalid_change_is_rejected_and_changes_nothing(
    alice: Person, changes: dict[str, Any], pointer: str, code: str
) -> None:
    before = profile(alice)
    response = alice.change_profile(**changes)
    assert_problem(response, 400, "INVALID_INPUT")
    assert [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]] == [(pointer, code)]
    assert profile(alice) == before


@on_sqlite
def test_only_a_merge_patch_is_accepted(alice: Person) -> None:
    response = alice.client.patch("/api/v1/me", headers=alice.headers, json={"locale": "de"})
    assert_problem(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["accept"] == "application/merge-patch+json"


def test_one_of_20_users_gets_a_name_that_all_want(client: TestClient) -> None:
    people = [newcomer(client, f"user{number}") for number in range(20)]
    responses = at_once(*(partial(person.change_profile, username="Wanted") for person in people))
    assert sorted(response.status_code for response in responses) == [200] + [409] * 19
    assert {response.json()["code"] for response in responses if not response.is_success} == {"USERNAME_TAKEN"}


def test_simultaneous_changes_of_different_properties_are_all_kept(alice: Person) -> None:
    for number in range(3):
        changes = {"display_name": f"Alice {number}"}, {"locale": f"de-A{number}"}, {"username": f"alice{number}"}
        responses = at_once(*(partial(alice.change_profile, **each) for each in changes))
        assert [response.status_code for response in responses] == [200] * 3
        assert {name: profile(alice)[name] for each in changes for name in each} == changes[0] | changes[1] | changes[2]


def test_a_new_username_is_shown_and_the_old_one_stays_reserved(
    config: Config, client: TestClient, alice: Person, bobby: Person, database: Database, travel: Travel
) -> None:
    with worker(config) as other:
        assert profile(at(other, alice))["username"] == "alice"
        assert alice.change_profile(username="Alicia").json() == profile(alice)
    assert alice.log_in(username="alice").status_code == 401
    assert alice.log_in(username="alicia").status_code == 200
    for name in ("alice", "ALICE"):
        form = {"username": name, "email": "new@example.com", "password": alice.password}
        assert_problem(client.post("/api/v1/auth/signup", json=form), 409, "USERNAME_TAKEN")
        assert_problem(bobby.change_profile(username=name), 409, "USERNAME_TAKEN")
    travel(90 * DAY - timedelta(minutes=1))
    with database.transaction() as db:
        assert usernames.delete_expired(db, 20) == 0
    assert_problem(Person(client, "alice").sign_up(), 409, "EMAIL_TAKEN")
    form = {"username": "alice", "email": "new@example.com", "password": alice.password}
    assert_problem(client.post("/api/v1/auth/signup", json=form), 409, "USERNAME_TAKEN")
    travel(timedelta(minutes=2))
    assert client.post("/api/v1/auth/signup", json=form).status_code == 201
    with database.transaction() as db:
        assert usernames.delete_expired(db, 20) == 1


def test_a_user_takes_a_given_up_name_back(alice: Person, database: Database) -> None:
    assert alice.change_profile(username="alicia").status_code == 200
    assert alice.change_profile(username="ALICE").json()["username"] == "ALICE"
    # Another spelling of the same name gives nothing up.
    assert alice.change_profile(username="alice").status_code == 200
    with database.transaction() as db:
        assert {*db.run(select(models.retired_names.c.key)).scalars()} == {"alicia"}


def test_a_name_that_expired_can_be_given_up_by_its_next_user(
    client: TestClient, alice: Person, bobby: Person, travel: Travel
) -> None:
    assert alice.change_profile(username="alicia").status_code == 200
    travel(90 * DAY)
    assert bobby.log_in().status_code == 200
    assert bobby.change_profile(username="alice").status_code == 200
    assert bobby.change_profile(username="bobby").status_code == 200
    assert alice.log_in(username="alicia").status_code == 200
    assert_problem(alice.change_profile(username="alice"), 409, "USERNAME_TAKEN")


def test_a_user_gives_up_at_most_three_names_a_day(alice: Person, travel: Travel) -> None:
    responses = []
    for number in range(4):
        responses.append(alice.change_profile(username=f"alice{number}"))
        travel(timedelta(hours=1))
        alice.log_in(username=f"alice{min(number, 2)}")
    assert [response.status_code for response in responses] == [200, 200, 200, 409]
    assert_problem(responses[3], 409, "TOO_MANY_NAMES")
    assert profile(alice)["username"] == "alice2"
    assert alice.change_profile(locale="de", username="ALICE2").status_code == 200
    travel(timedelta(hours=20, seconds=1))
    assert alice.log_in(username="alice2").status_code == 200
    assert alice.change_profile(username="alice3").status_code == 200


@pytest.fixture
def free_names(config: Config) -> Iterator[TestClient]:
    """A client of an application that reserves no names."""
    with TestClient(create_app(replace(config, name_days=0))) as client:
        yield client


def test_without_a_reservation_a_name_is_free_at_once(free_names: TestClient) -> None:
    alice, bobby = newcomer(free_names, "alice"), newcomer(free_names, "bobby")
    assert alice.change_profile(username="alicia").status_code == 200
    assert bobby.change_profile(username="alice").status_code == 200


def race(*calls: Callable[[], Any]) -> list[int]:
    return [response.status_code for response in at_once(*calls)]


def test_no_sign_up_gets_a_name_that_is_given_up_meanwhile(client: TestClient) -> None:
    for number in range(10):
        person = newcomer(client, f"user{number}")
        form = {"username": person.username, "email": f"new{number}@example.com", "password": person.password}
        sign_up = partial(client.post, "/api/v1/auth/signup", json=form)
        assert race(partial(person.change_profile, username=f"other{number}"), sign_up, sign_up) == [200, 409, 409]


def test_simultaneous_changes_of_one_username_reserve_each_old_name(client: TestClient, database: Database) -> None:
    for number in range(5):
        person, wanted = newcomer(client, f"user{number}"), {f"first{number}", f"other{number}"}
        assert race(*(partial(person.change_profile, username=name) for name in wanted)) == [200, 200]
        with database.transaction() as db:
            names = select(models.retired_names.c.key).where(models.retired_names.c.user_id == UUID(person.id))
            reserved = {*db.run(names).scalars()}
        assert reserved == {person.username, *wanted} - {profile(person)["username"]}


def test_the_language_of_a_user_comes_before_that_of_the_request(
    client: TestClient, alice: Person, mailbox: Mailbox
) -> None:
    assert alice.change_profile(locale="de-AT").status_code == 200
    headers = {"Accept-Language": "en"}
    client.post("/api/v1/auth/password/request", json={"email": alice.email}, headers=headers)
    assert mailbox.deliver().message()["Content-Language"] == "de"
    body = {"code": mailbox.server.code(), "new_password": "a better battery for this horse"}
    assert client.post("/api/v1/auth/password/reset", json=body, headers=headers).status_code == 204
    assert mailbox.deliver().message()["Content-Language"] == "de"
    alice.log_in(password="a better battery for this horse")
    body = {"email": "new@example.com", "current_password": "a better battery for this horse"}
    assert client.put("/api/v1/me/email", json=body, headers=alice.headers | headers).status_code == 202
    assert mailbox.deliver().message()["Content-Language"] == "de"
    confirmed = client.post("/api/v1/auth/email/confirm", json={"code": mailbox.server.code()}, headers=headers)
    assert confirmed.status_code == 204
    assert mailbox.deliver().message()["Content-Language"] == "de"
    # Without templates in the language, the request decides.
    alice.change_profile(locale="fr")
    client.post("/api/v1/auth/password/request", json={"email": "new@example.com"}, headers={"Accept-Language": "de"})
    assert mailbox.deliver().message()["Content-Language"] == "de"
