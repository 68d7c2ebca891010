"""Extreme but valid request bodies: SQLite and PostgreSQL store them and return the same responses.

The examples are the same in every run of the same tests, until the contract or a strategy changes. Hypothesis also uses
constants of the imported modules, so a test that runs alone gets other examples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from sqlalchemy import URL, delete, select
from starlette.testclient import TestClient

from api import models
from api.app import create_app
from api.clock import now, rfc3339
from api.config import Config
from api.contract.document.operation import Json, resolve
from api.services.names import email_key, is_email, normalize_email
from api.services.password_policy import is_hard_to_guess
from api.storage.database import Database, new_id
from tests.repo.test_readme import normalized
from tests.storage.test_agreement import stored
from tests.support import codes
from tests.support.databases import on_sqlite
from tests.support.person import Person, newcomer
from tests.support.roles import promote
from tests.support.shipped import CONTRACT

PROFILE: Json = CONTRACT.document["components"]["schemas"]["ProfileChange"]["properties"]
SERVICE: Json = CONTRACT.document["components"]["schemas"]["NewServiceAccount"]["properties"]


class RequestBody(NamedTuple):
    """The operation that accepts a body, and the content of the body in the contract."""

    method: str
    path: str
    media_type: str
    content: Json


REQUEST_BODIES = {
    operation.id: RequestBody(operation.method, operation.path, media_type, content)
    for operation in CONTRACT.operations()
    if operation.body
    for media_type, content in operation.body["content"].items()
}
EXAMPLES = 50


@dataclass
class BothDatabases:
    """A user who sends each request to two applications: one on SQLite and one on PostgreSQL."""

    people: tuple[Person, Person]
    databases: tuple[Database, Database]
    config: Config

    def each(self, ask: Callable[[Person], httpx.Response]) -> tuple[httpx.Response, httpx.Response]:
        """Return both responses. Assert that they differ only in ids, times and tokens, and that none is a 5xx."""
        one, other = (ask(person) for person in self.people)
        assert self._normalized(one) == self._normalized(other)
        assert one.status_code < 500
        return one, other

    def send(self, operation: str, body: Json) -> tuple[httpx.Response, httpx.Response]:
        method, path, media_type, _ = REQUEST_BODIES[operation]
        headers = {"Content-Type": media_type}
        kind = "data" if "urlencoded" in media_type else "json"
        sent: dict[str, Any] = {kind: body}
        return self.each(lambda person: person.client.request(method, path, headers=person.headers | headers, **sent))

    def code_for(self, operation: str) -> str:
        """Return a code that is the same on both databases. Chance cannot guess one."""
        code_id = new_id()
        (code,) = {codes.code_for(operation, self.config, database, "alice", code_id) for database in self.databases}
        return code

    def log_in(self, name: str, password: str) -> None:
        response, _ = self.each(lambda person: person.log_in(username=name, password=password))
        assert response.status_code == 200, name

    def assert_located(self, responses: tuple[httpx.Response, httpx.Response]) -> None:
        """Assert that the `Location` of each response has the same body as the response."""
        for person, response in zip(self.people, responses, strict=True):
            assert person.get(response.headers["location"]).json() == response.json()

    @staticmethod
    def _normalized(response: httpx.Response) -> tuple[int, str, str]:
        return response.status_code, normalized(response.headers.get("location", "")), normalized(response.text)


@pytest.fixture
def both(all_features: None, config: Config, database: Database, postgres_url: URL) -> Iterator[BothDatabases]:
    """An admin who has signed up and logged in on both databases."""
    other = Database(postgres_url)
    lite, post = (TestClient(create_app(replace(config, database_url=at.engine.url))) for at in (database, other))
    with lite, post:
        people = newcomer(lite, "alice"), newcomer(post, "alice")
        for person, at in zip(people, (database, other), strict=True):
            promote(replace(config, database_url=at.engine.url), person, "admin")
        yield BothDatabases(people, (database, other), config)
    other.dispose()


# These grow or shrink when they are normalized or folded, have four bytes, combine, are invisible or end a line. Others
# have a meaning in SQL, LIKE, JSON or a log.
LETTERS = "aZ0\u00e9\ufdfa\u0390\u1fb7\u00df\u0130\ufb03\u0958\u212a\U0001d49c\U00020000\uac00"
ODD = LETTERS + "\u0301\u0345\u200d\u00ad\u202e\u2028\x01\x1b\x7f\x85\ufeff\uffff\U0001f600\U0010ffff'\"\\%_;\t\r\n "
DOMAINS = (
    "example.com",
    "EXAMPLE.test",
    "test",
    "b\u00fccher.example.com",
    "xn--bcher-kva.example.com",
    "fa\u00df.de",
    "\u4f8b\u3048.jp",
    "\u0645\u062b\u0627\u0644.example.com",
    "\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.com",
    f"{'b' * 63}.{'b' * 63}.{'b' * 57}.com",
    f"{'b' * 63}.{'b' * 63}.{'b' * 58}.com",
    ".".join(["\u00fc" * 40] * 4),
)

# The canonical forms of these addresses have 254 characters or more.
LONGEST = (
    f"{'a' * 64}@{DOMAINS[-3]}",
    f"{chr(0xFDFA) * 13}{'a' * 8}@example.com",
    f"{chr(0xFDFA) * 14}@example.com",
    f"{chr(0xFDFA) * 64}@example.com",
)


def lengths(schema: Json) -> SearchStrategy[int]:
    """Return lengths that a schema allows: the least, the most and some between."""
    least, most = schema.get("minLength", 0), schema["maxLength"]
    return st.sampled_from([least, most, least + 1, most - 1]) | st.integers(least, most)


def filled(piece: SearchStrategy[str], length: SearchStrategy[int]) -> SearchStrategy[str]:
    """Return texts that repeat a piece up to a length."""
    return st.builds(lambda text, count: (text * count)[:count], piece, length)


def texts(schema: Json) -> SearchStrategy[str]:
    characters = st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return filled(st.text(characters, min_size=1, max_size=6), lengths(schema))


def passwords(schema: Json) -> SearchStrategy[str]:
    # Few random texts are common passwords, but many are one repeated character.
    return texts(schema).filter(lambda text: is_hard_to_guess(text, CONTRACT.title))


def usernames(schema: Json) -> SearchStrategy[str]:
    piece = st.from_regex("[A-Za-z0-9]{1,9}[._-]?", fullmatch=True)
    return filled(piece, lengths(schema)).map(lambda name: f"{name[:-1]}0")


def emails(_: Json) -> SearchStrategy[str]:
    piece = st.text(st.sampled_from(LETTERS), min_size=1, max_size=4) | st.sampled_from(["o'", "a.", "+%", "\u0301"])
    local = filled(piece, st.sampled_from([1, 8, 13, 63, 64, 65]))
    form = st.sampled_from(["{}@{}", "{}@{}", "{}@{}", '"{}"@{}'])
    any_address = st.sampled_from(LONGEST) | st.builds(str.format, form, local, st.sampled_from(DOMAINS))
    # About one in six of these addresses is invalid.
    return st.sampled_from([any_address, *[any_address.filter(is_email)] * 3]).flatmap(lambda chosen: chosen)


def opaque(schema: Json) -> SearchStrategy[str]:
    piece = st.from_regex("[A-Za-z0-9_-]{1,9}", fullmatch=True)
    # The tokens of the server have 64 characters.
    return filled(piece, lengths(schema) | st.just(64))


def locales(schema: Json) -> SearchStrategy[str]:
    return st.sampled_from(["de", "deu", "zh-Hant-TW", "sl-rozaj-biske-1", "x" * 3 + "-" + "A" * 12])


def moments(_: Json) -> SearchStrategy[str]:
    """Return times at which an API key can expire."""
    return st.integers(1, 300).map(lambda days: rfc3339(now() + timedelta(days=days)))


def scopes(_: Json) -> SearchStrategy[str]:
    return st.sampled_from(sorted(CONTRACT.roles["user"]))


def uris(schema: Json) -> SearchStrategy[str]:
    piece = st.from_regex("[a-z0-9]{1,9}[/.?#&=]?", fullmatch=True)
    return filled(piece, lengths(schema)).map(lambda text: f"https://{text}"[: len(text)].rstrip("#"))


# The strategies for texts, by format or pattern. Add one for each further format and pattern of a request.
STRINGS = {
    "username": usernames,
    "email": emails,
    "new-password": passwords,
    PROFILE["locale"]["pattern"]: locales,
    r"^[A-Za-z0-9_-]+$": opaque,
    r"^[A-Za-z0-9_-]*$": opaque,
    "date-time": moments,
    SERVICE["name"]["pattern"]: usernames,
    "^[a-z]+(:[a-z]+)*$": scopes,
    "uri": uris,
}


def values(schema: Json) -> SearchStrategy[Any]:
    """Return extreme values that a schema allows."""
    schema = resolve(schema, CONTRACT.document)
    for part in schema.get("allOf", []):
        schema = resolve(part, CONTRACT.document) | schema
    kind = schema.get("type")
    if kind == "object":
        parts = {name: values(part) for name, part in schema["properties"].items()}
        needed = {name: parts.pop(name) for name in schema.get("required", [])}
        found = st.fixed_dictionaries(needed, optional=parts)
        return found.filter(lambda value: len(value) >= schema.get("minProperties", 0))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind == "array":
        return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3, unique=True)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        ends = [schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)]
        return st.sampled_from(ends) | st.integers(*ends)
    strings = STRINGS.get(schema.get("format") or schema.get("pattern", ""), texts)(schema)
    return strings | st.none() if schema.get("nullable") else strings


# Without the credentials of a service, the body is not read.
BODIES = sorted(REQUEST_BODIES.keys() - {"issueToken"})


# The resource of a path would have to exist first.
@on_sqlite
@pytest.mark.parametrize("operation", [name for name in BODIES if "{" not in REQUEST_BODIES[name].path])
def test_both_databases_store_extreme_values_alike(both: BothDatabases, operation: str) -> None:
    statuses = []
    # A code is replaced by a valid one, so bodies without other members are all the same.
    schema = resolve(REQUEST_BODIES[operation].content["schema"], CONTRACT.document)
    is_one = schema["properties"].keys() == {"code"}

    @settings(max_examples=1 if is_one else EXAMPLES, derandomize=True, database=None, deadline=None)
    @given(body=values(REQUEST_BODIES[operation].content["schema"]))
    def send(body: Json) -> None:
        if operation in codes.OPERATIONS:
            body = body | {"code": both.code_for(operation)}
        responses = response, _ = both.send(operation, body)
        statuses.append(response.status_code)
        if response.is_success and response.content:
            _assert_returned_as_sent(response.json(), body)
        if operation in {"signUp", codes.SIGN_UP} and response.is_success:
            _log_in_by_every_name(both, body | {"email": response.json()["email"]})
        # Only the response to the creation has a secret.
        if "location" in response.headers and operation not in {"createApiKey", "createServiceAccount"}:
            both.assert_located(responses)
        one, other = (rows(database) for database in both.databases)
        assert one == other
        _delete_other_users(both)

    send()
    # Bodies that the contract rejects do not reach a database, so most of them must be valid.
    assert statuses.count(400) < len(statuses) / 2, "add strategies for the formats and patterns to STRINGS"


def _assert_returned_as_sent(shown: Json, sent: Json) -> None:
    kept = sent | ({"email": normalize_email(sent["email"])} if "email" in sent else {})
    # Scopes are sorted, and times get the form of this service.
    names = (shown.keys() & sent.keys()) - {"expires_at", "scopes"}
    assert {name: shown[name] for name in names} == {name: kept[name] for name in names}


def _log_in_by_every_name(both: BothDatabases, form: Json) -> None:
    for name in (form["email"], form["username"].swapcase(), email_key(form["email"])):
        both.log_in(name, form["password"])


def rows(database: Database) -> list[tuple[Any, ...]]:
    """Return all stored values that came from bodies, except for the hashes, which are salted."""
    columns = {column for column, name, _ in stored() if column.name != f"{name}_hash"}
    tables = [[column for column in table.c if column in columns] for table in models.METADATA.sorted_tables]
    with database.transaction() as db:
        return sorted(tuple(row) for kept in tables if kept for row in db.run(select(*kept)))


def _delete_other_users(both: BothDatabases) -> None:
    """Delete all users but alice, the oldest one, because the next example may use the same names and emails."""
    for database in both.databases:
        with database.transaction() as db:
            alice = db.run(select(models.users.c.id).order_by(models.users.c.id).limit(1)).scalar_one()
            db.run(delete(models.users).where(models.users.c.id != alice))


@on_sqlite
@pytest.mark.parametrize("operation", BODIES)
def test_every_field_rejects_a_nul_character(both: BothDatabases, operation: str) -> None:
    example = REQUEST_BODIES[operation].content["example"]
    for name, value in ((name, value) for name, value in example.items() if isinstance(value, str)):
        for place in (0, 3, len(value)):
            body = example | {name: f"{value[:place]}\0{value[place:]}"}
            response, _ = both.send(operation, body)
            assert response.status_code == 400
