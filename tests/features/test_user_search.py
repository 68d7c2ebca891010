"""Lists of users: pages, filters and the search by the beginning of a name."""

import pytest
from starlette.testclient import TestClient

from api.config import Config
from api.services import user_search, users
from api.storage.database import Database
from tests.support.admins import USERS, admin_of, names, pages
from tests.support.person import Person, newcomer
from tests.support.workers import by_hand


@pytest.fixture
def admin(config: Config, client: TestClient) -> Person:
    return admin_of(config, client)


def add(database: Database, *people: tuple[str, str]) -> None:
    """Add users with these names and emails."""
    with database.transaction() as db:
        for name, email in people:
            users.add(db, name, email, "")


@pytest.mark.slow
def test_pages_have_each_user_once_while_others_sign_up(client: TestClient, database: Database, admin: Person) -> None:
    added = [f"user{number:04}" for number in range(1999)]
    add(database, *((name, f"{name}@example.com") for name in added))
    found: list[str] = []
    query: dict[str, int | str | None] = {"limit": 100}
    count = 0
    while count == 0 or query["cursor"]:
        response = client.get(USERS, headers=admin.headers, params=query).json()
        found += [item["username"] for item in response["items"]]
        query["cursor"] = response["next_cursor"]
        count += 1
        assert Person(client, f"later{count}").sign_up().status_code == 201
    assert (found, count) == ([*reversed(added), admin.username], 20)


@pytest.fixture
def population(database: Database, admin: Person) -> None:
    add(
        database,
        ("alice", "alice@example.com"),
        ("bobby", "ALICIA@example.com"),
        ("malice", "malice@example.com"),
        ("al_ice", "per%cent@example.com"),
        ("dora9", "dora@xn--mnchen-3ya.example"),
        ("Alina", "zzz@example.com"),
    )


@pytest.mark.usefixtures("population")
@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ali", ["alice", "bobby", "Alina"]),
        ("ALI", ["alice", "bobby", "Alina"]),
        ("al", ["al_ice", "alice", "bobby", "Alina"]),
        ("al_", ["al_ice"]),
        ("al%", []),
        ("per%", ["al_ice"]),
        ("p%", []),
        ("al\\", []),
        ("alice", ["alice"]),
        ("alice@", ["alice"]),
        ("Alicia@EXAMPLE.co", ["bobby"]),
        ("alicia@example.com", ["bobby"]),
        ("dora@mün", ["dora9"]),
        ("dora@XN--mnchen-3ya.example", ["dora9"]),
        ("\uff21\uff2c\uff29", ["alice", "bobby", "Alina"]),
        ("  ", []),
        ("' OR 1=1 --", []),
        ("\U0010ffff\U0010ffff", []),
    ],
)
def test_a_search_finds_the_beginnings_of_names(admin: Person, search: str, found: list[str]) -> None:
    assert names(admin, search=search) == found
    assert names(admin, search=search, limit=1) == found


@pytest.mark.parametrize("search", ["a", "a" * 255, "al\x00", "al\n"])
def test_an_invalid_search_is_rejected(admin: Person, search: str) -> None:
    response = admin.client.get(USERS, headers=admin.headers, params={"search": search})
    assert response.status_code == 400


@pytest.mark.usefixtures("population")
def test_filters_combine(config: Config, admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(config, "UPDATE users SET role = 'support' WHERE username_key IN ('alice', 'malice')")
    by_hand(config, "UPDATE users SET disabled_at = created_at WHERE username_key IN ('malice', 'bobby', 'dora9')")
    by_hand(config, "UPDATE users SET deletes_at = created_at WHERE username_key = 'dora9'")
    assert names(admin, role="admin") == ["root9"]
    assert names(admin, role="support") == ["malice", "alice"]
    assert names(admin, role="support", state="disabled") == ["malice"]
    assert names(admin, role="user", state="disabled") == ["bobby"]
    assert names(admin, state="disabled") == ["malice", "bobby"]
    assert names(admin, state="deleting") == names(admin, role="user", state="deleting") == ["dora9"]
    assert names(admin, state="enabled", limit=1) == ["Alina", "al_ice", "alice", "root9"]
    for window in (user_search._WINDOW, 1, 2):
        monkeypatch.setattr(user_search, "_WINDOW", window)
        assert names(admin, search="al", state="disabled") == ["bobby"]
        assert names(admin, search="al", role="user", state="enabled", limit=1) == ["al_ice", "Alina"]


def test_a_cursor_belongs_to_one_list_of_one_admin(config: Config, client: TestClient, admin: Person) -> None:
    other = admin_of(config, client, "other9")
    newcomer(client, "other5")
    sent: dict[str, int | str] = {"limit": 1, "search": "other"}
    cursor = client.get(USERS, headers=admin.headers, params=sent).json()["next_cursor"]
    assert client.get(USERS, headers=admin.headers, params=sent | {"cursor": cursor}).status_code == 200
    for person, change in ((admin, {"search": "othe"}), (admin, {"role": "user"}), (other, {})):
        response = client.get(USERS, headers=person.headers, params=sent | change | {"cursor": cursor})
        assert response.status_code == 400
        assert response.json()["errors"][0]["pointer"] == "/query/cursor"


@pytest.mark.usefixtures("population")
def test_a_user_has_the_same_properties_in_a_list_and_alone(admin: Person) -> None:
    for [item] in [page for page in pages(admin, limit=1) if page]:
        assert admin.get(f"{USERS}/{item['id']}").json() == item
    support = pages(admin, search="root")[0][0]
    assert (support["role"], support["last_log_in_at"] >= support["created_at"]) == ("admin", True)
