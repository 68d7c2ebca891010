"""Users who are signed up and logged in."""

from dataclasses import dataclass
from random import Random

import httpx

from tests.soak.abuse.marks import Marks


@dataclass(frozen=True)
class Person:
    """A user with tokens."""

    id: str
    username: str
    token: str
    refresh_token: str


def newcomers(port: int, count: int, rng: Random, marks: Marks) -> list[Person]:
    """Sign up and log in this number of users."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        return [_newcomer(client, rng, marks) for _ in range(count)]


def _newcomer(client: httpx.Client, rng: Random, marks: Marks) -> Person:
    username, password = marks.name(rng), marks.secret(rng)
    form = {"username": username, "email": f"{username}@example.com", "password": password}
    user = client.post("/api/v1/auth/signup", json=form).raise_for_status().json()
    credentials = {"username": username, "password": password}
    pair = client.post("/api/v1/auth/login", json=credentials).raise_for_status().json()
    return Person(user["id"], username, pair["access_token"], pair["refresh_token"])
