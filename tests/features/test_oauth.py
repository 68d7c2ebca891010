"""Tokens for other services: client credentials, introspection, revocation and metadata."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from time import sleep
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.prefixed_secrets import make
from api.services.service_accounts import NewSecret
from api.services.signing_keys import Keyring
from api.storage.database import Database
from tests.support.api_keys import create_key, unknown_key
from tests.support.databases import on_sqlite
from tests.support.person import Person
from tests.support.problems import assert_problem
from tests.support.service_accounts import basic, basic_of, introspect, issue, new_service
from tests.support.types import Travel
from tests.support.workers import at, by_hand, disable, statements, worker

BOUND_SECONDS = 0.1
INACTIVE = {"active": False}
BASIC = 'Basic realm="Charter", charset="UTF-8"'


@pytest.fixture
def service(config: Config) -> NewSecret:
    """A service account with all scopes."""
    return new_service(config)


@pytest.fixture
def there(config: Config) -> Iterator[TestClient]:
    """Another worker on the same database."""
    with worker(config) as client:
        yield client


def test_a_service_gets_a_token_without_a_session(client: TestClient, config: Config, service: NewSecret) -> None:
    response = issue(client, service)
    assert response.json() == {
        "access_token": response.json()["access_token"],
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "tokens:introspect",
    }
    assert response.headers["cache-control"] == "no-store"
    token = response.json()["access_token"]
    key = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=config.audience, issuer=config.issuer)
    assert claims == {
        "iss": config.issuer,
        "aud": config.audience,
        "sub": str(service.client_id),
        "client_id": str(service.client_id),
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["iat"] + 900,
        "scope": "tokens:introspect",
    }
    assert introspect(client, service, token).json() == claims | {"active": True, "token_type": "Bearer"}
    # The token itself authorizes the same operation.
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/oauth/introspect", data={"token": token}, headers=headers).json()["active"]


@pytest.mark.parametrize(
    ("form", "code", "error"),
    [
        ({"grant_type": "password"}, "UNSUPPORTED_GRANT_TYPE", "unsupported_grant_type"),
        ({"scope": "tokens:introspect users:write"}, "INVALID_SCOPE", "invalid_scope"),
        ({"grant_type": ["client_credentials"] * 2}, "INVALID_INPUT", "invalid_request"),
    ],
)
@on_sqlite
def test_oauth_clients_read_why_a_token_is_refused(
    client: TestClient, service: NewSecret, form: dict[str, Any], code: str, error: str
) -> None:
    response = issue(client, service, **form)
    assert_problem(response, 400, code)
    assert response.json()["error"] == error


@on_sqlite
def test_parameters_without_a_meaning_are_ignored(client: TestClient, service: NewSecret) -> None:
    assert issue(client, service, scope="", resource="https://a.example").json()["scope"] == "tokens:introspect"


def credentials_of(service: NewSecret) -> dict[str, tuple[dict[str, str], int]]:
    """Return headers with credentials, and the status that each of them gets."""
    user, secret = str(service.client_id), service.client_secret
    encoded = basic_of(user.replace("-", "%2D"), quote(secret).replace("_", "%5F"))
    return {
        "raw": (basic(service), 200),
        "encoded": (encoded, 200),
        "another secret": (basic_of(user, make("svc")), 401),
        "a wrong checksum": (basic_of(user, secret[:-1] + ("a" if secret[-1] != "a" else "b")), 401),
        "another service": (basic_of(str(uuid4()), secret), 401),
        "no id": (basic_of("billing", secret), 401),
        "no secret": (basic_of(user, ""), 401),
        "malformed": ({"Authorization": "Basic ?"}, 401),
        "nothing": ({}, 401),
    }


def test_only_the_credentials_of_a_service_are_accepted(client: TestClient, service: NewSecret) -> None:
    for name, (headers, status) in credentials_of(service).items():
        response = client.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=headers)
        assert response.status_code == status, name
        if status == 401:
            assert (response.json()["error"], response.headers["www-authenticate"]) == ("invalid_client", BASIC)
        response = client.post("/oauth/introspect", data={"token": "a"}, headers=headers)
        assert response.status_code == status, name
        if status == 401:
            assert response.headers["www-authenticate"] == f"{BASIC}, Bearer"


def test_malformed_secrets_cost_no_query(client: TestClient, service: NewSecret) -> None:
    wrong = service.client_secret[:-1] + ("a" if service.client_secret[-1] != "a" else "b")
    with statements() as sent:
        assert introspect(client, NewSecret(service.client_id, wrong), "a").status_code == 401
    assert sent == []


@on_sqlite
def test_a_body_of_json_is_refused(client: TestClient, service: NewSecret) -> None:
    response = client.post("/oauth/introspect", json={"token": "a"}, headers=basic(service))
    assert_problem(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    twice = {"token": ["a", "b"]}
    assert_problem(client.post("/oauth/introspect", data=twice, headers=basic(service)), 400, "INVALID_INPUT")


@pytest.mark.usefixtures("still")
def test_an_active_token_of_a_user_has_its_facts(client: TestClient, service: NewSecret, alice: Person) -> None:
    claims = jwt.decode(alice.token, options={"verify_signature": False})
    active = claims | {"active": True, "token_type": "Bearer", "username": "alice"}
    response = introspect(client, service, alice.token)
    assert (response.json(), response.headers["cache-control"]) == (active, "no-store")
    # A wrong hint changes nothing.
    assert introspect(client, service, alice.token, token_type_hint="refresh_token").json() == active


def test_the_scope_is_the_effective_one(client: TestClient, config: Config, service: NewSecret, alice: Person) -> None:
    by_hand(config, "UPDATE users SET role = 'gone'")
    sleep(BOUND_SECONDS)
    assert introspect(client, service, alice.token).json()["scope"] == ""


def test_everything_else_is_inactive(
    client: TestClient, config: Config, service: NewSecret, alice: Person, travel: Travel
) -> None:
    others = AccessTokenCodec("https://other.example", config.audience, config.client_id, 900)
    database, keyring = Database(config.database_url), Keyring(config.secret, config.signing_algorithm, 900)
    with database.transaction() as db:
        foreign = others.encode_for_service(keyring.signing(db), service.client_id, "tokens:introspect")
    database.dispose()
    texts = (alice.refresh_token, alice.device_token, service.client_secret, foreign, "", "a.b.c", "é", "a" * 10_240)
    expired = alice.token
    for text in texts:
        assert introspect(client, service, text).json() == INACTIVE, text
    travel(timedelta(seconds=911))
    assert introspect(client, service, expired).json() == INACTIVE


def test_an_ended_session_is_inactive_at_once_and_elsewhere_within_100_ms(
    client: TestClient, there: TestClient, config: Config, service: NewSecret, alice: Person
) -> None:
    everywhere = (client, there)
    for _ in range(2):
        assert [introspect(each, service, alice.token).json()["active"] for each in everywhere] == [True, True]
    token = alice.token
    assert alice.log_out().status_code == 204
    assert introspect(client, service, token).json() == INACTIVE
    sleep(BOUND_SECONDS)
    assert introspect(there, service, token).json() == INACTIVE
    alice.log_in()
    assert introspect(there, service, alice.token).json()["active"]
    disable(config, "alice")
    sleep(BOUND_SECONDS)
    assert [introspect(each, service, alice.token).json() for each in everywhere] == [INACTIVE, INACTIVE]


ENDINGS = [
    "UPDATE services SET disabled_at = created_at",
    "DELETE FROM services",
    "UPDATE service_secrets SET expires_at = created_at",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_service_that_has_ended_is_refused_everywhere_within_100_ms(
    client: TestClient, there: TestClient, config: Config, service: NewSecret, ending: str
) -> None:
    headers = {"Authorization": f"Bearer {issue(client, service).json()['access_token']}"}
    for each in (client, there):
        assert introspect(each, service, "a").status_code == 200
        assert each.post("/oauth/introspect", data={"token": "a"}, headers=headers).status_code == 200
    by_hand(config, ending)
    sleep(BOUND_SECONDS)
    for each in (client, there):
        assert_problem(introspect(each, service, "a"), 401, "INVALID_CLIENT")
        response = each.post("/oauth/introspect", data={"token": "a"}, headers=headers)
        # A secret that expires does not end the tokens.
        assert response.status_code == (200 if "secrets" in ending else 401)


def test_cached_tokens_and_secrets_cost_no_query(client: TestClient, service: NewSecret, alice: Person) -> None:
    assert introspect(client, service, alice.token).json()["active"]
    with statements() as sent:
        assert introspect(client, service, alice.token).json()["active"]
    assert sent == []


def test_a_revoked_access_token_ends_its_session(client: TestClient, there: TestClient, alice: Person) -> None:
    assert at(there, alice).get("/protected").status_code == 200
    for _ in range(2):
        response = client.post("/oauth/revoke", data={"token": alice.token})
        assert (response.status_code, response.content) == (200, b"")
    assert_problem(alice.get("/protected"), 401, "INVALID_TOKEN")
    sleep(BOUND_SECONDS)
    assert at(there, alice).get("/protected").status_code == 401
    assert_problem(alice.refresh(), 401, "INVALID_REFRESH_TOKEN")


def test_a_revoked_refresh_token_ends_its_session(client: TestClient, alice: Person) -> None:
    response = client.post("/oauth/revoke", data={"token": alice.refresh_token, "token_type_hint": "access_token"})
    assert response.status_code == 200
    assert_problem(alice.get("/protected"), 401, "INVALID_TOKEN")


def test_unknown_tokens_are_revoked_already(client: TestClient, service: NewSecret, alice: Person) -> None:
    for token in ("", "a", "a.b.c", "a" * 10_240, "A" * 64):
        assert client.post("/oauth/revoke", data={"token": token}).status_code == 200
    assert alice.get("/protected").status_code == 200
    response = client.post("/oauth/revoke", data={"token": issue(client, service).json()["access_token"]})
    assert_problem(response, 400, "UNSUPPORTED_TOKEN_TYPE")
    assert response.json()["error"] == "unsupported_token_type"
    assert_problem(client.post("/oauth/revoke", data={"hint": "a"}), 400, "INVALID_INPUT")


def forged(config: Config, **claims: object) -> str:
    """Return a token with a valid signature, whose claims are those of a service, apart from these."""
    codec = AccessTokenCodec(config.issuer, config.audience, config.client_id, 900)
    database, keyring = Database(config.database_url), Keyring(config.secret, config.signing_algorithm, 900)
    with database.transaction() as db:
        key = keyring.signing(db)
    database.dispose()
    token = codec.encode_for_service(key, UUID(int=1), "tokens:introspect")
    given = jwt.decode(token, options={"verify_signature": False}) | claims
    headers = jwt.get_unverified_header(token)
    present = {name: claim for name, claim in given.items() if claim is not None}
    return jwt.encode(present, key.private, algorithm=key.algorithm, headers=headers)


def test_a_token_without_a_session_belongs_to_a_service_only(
    client: TestClient, config: Config, service: NewSecret, alice: Person
) -> None:
    own = str(service.client_id)
    tokens: dict[str, tuple[dict[str, Any], bool]] = {
        "a service": ({"sub": own, "client_id": own}, True),
        "another client": ({"sub": own, "client_id": "charter"}, False),
        "no client": ({"sub": own, "client_id": None}, False),
        "a user": ({"sub": alice.id, "client_id": alice.id}, False),
        "the client of users": ({"sub": config.client_id, "client_id": config.client_id}, False),
        "a session of no user": ({"sub": own, "client_id": own, "sid": str(uuid4())}, False),
    }
    for name, (claims, active) in tokens.items():
        assert introspect(client, service, forged(config, **claims)).json()["active"] is active, name


def test_a_client_id_of_users_is_not_a_service(config: Config, service: NewSecret) -> None:
    own = str(service.client_id)
    with worker(replace(config, client_id=own)) as client:
        assert introspect(client, service, forged(config, sub=own, client_id=own)).json() == INACTIVE


def test_a_stock_client_gets_introspects_and_revokes_tokens(
    server: str, client: TestClient, service: NewSecret, alice: Person
) -> None:
    metadata = httpx.get(f"{server}/.well-known/oauth-authorization-server").json()
    addresses = {
        name: httpx.URL(metadata[f"{name}_endpoint"]).path for name in ("token", "introspection", "revocation")
    }
    with OAuth2Client(str(service.client_id), service.client_secret, base_url=server) as stock:
        token = stock.fetch_token(addresses["token"], grant_type="client_credentials")
        assert token["expires_in"] == 900
        assert stock.introspect_token(addresses["introspection"], token=alice.token).json()["username"] == "alice"
        assert stock.revoke_token(addresses["revocation"], token=alice.token).status_code == 200
        assert stock.introspect_token(addresses["introspection"], token=alice.token).json() == INACTIVE
    in_form = OAuth2Client(
        str(service.client_id),
        service.client_secret,
        base_url=server,
        token_endpoint_auth_method="client_secret_post",
    )
    with in_form, pytest.raises(OAuthError) as raised:
        in_form.fetch_token(addresses["token"], grant_type="client_credentials")
    assert raised.value.error == "invalid_client"


@pytest.mark.parametrize(
    ("settings", "issuer", "endpoint"),
    [
        ({}, "http://127.0.0.1:8000", "http://127.0.0.1:8000/oauth/token"),
        ({"issuer": "https://a.example/"}, "https://a.example/", "https://a.example/oauth/token"),
        ({"public_url": "https://b.example/x"}, "http://127.0.0.1:8000", "https://b.example/x/oauth/token"),
        ({"issuer": "urn:charter"}, None, None),
        ({"issuer": "charter"}, None, None),
    ],
)
@on_sqlite
def test_the_metadata_exists_if_the_issuer_is_a_url(
    config: Config, settings: dict[str, Any], issuer: str | None, endpoint: str | None
) -> None:
    with TestClient(create_app(replace(config, **settings))) as client:
        response = client.get("/.well-known/oauth-authorization-server")
    if issuer is None:
        assert_problem(response, 404, "NOT_FOUND")
        return
    assert (response.json()["issuer"], response.json()["token_endpoint"]) == (issuer, endpoint)
    assert response.headers["cache-control"] == "public, max-age=300"


@on_sqlite
def test_no_secret_reaches_the_log(client: TestClient, service: NewSecret, alice: Person, log: io.StringIO) -> None:
    token = issue(client, service).json()["access_token"]
    introspect(client, service, alice.token)
    introspect(client, NewSecret(service.client_id, make("svc")), token)
    client.post("/oauth/revoke", data={"token": alice.token})
    output = log.getvalue()
    assert "service_token_issued" in output
    assert "token_revoked" in output
    assert f'"service_id":"{service.client_id}"' in output
    secrets = (service.client_secret, *token.split(".")[1:], *alice.token.split(".")[1:], "Basic ")
    assert [secret for secret in secrets if secret in output] == []


def test_other_operations_have_no_oauth_errors(client: TestClient) -> None:
    assert "error" not in json.loads(client.get("/protected").text)


def test_services_check_and_revoke_keys(
    client: TestClient, there: TestClient, service: NewSecret, alice: Person
) -> None:
    program = create_key(alice, "profile")
    # A query finds the key, and from then on the cache knows it.
    for each in (client, there):
        assert program.get("/api/v1/me").status_code == 200
        assert introspect(each, service, program.key).json() == {
            "active": True,
            "token_type": "Bearer",
            "scope": "profile",
            "username": "alice",
            "sub": alice.id,
            "jti": program.row["id"],
            "exp": int(datetime.fromisoformat(program.row["expires_at"]).timestamp()),
        }
    assert client.post("/oauth/revoke", data={"token": program.key}).status_code == 200
    assert introspect(client, service, program.key).json() == {"active": False}
    assert_problem(program.get("/api/v1/me"), 401, "INVALID_TOKEN")
    sleep(BOUND_SECONDS)
    assert introspect(there, service, program.key).json() == {"active": False}
    # The response is the same for unknown keys.
    for key in (program.key, unknown_key()):
        assert client.post("/oauth/revoke", data={"token": key}).status_code == 200


@pytest.mark.parametrize("token", ["!" + "A" * 63, "\u00e9" * 64, "A" * 64])
def test_odd_texts_are_revoked_already(client: TestClient, token: str) -> None:
    assert client.post("/oauth/revoke", data={"token": token}).status_code == 200


def test_a_secret_of_a_service_is_not_revoked_by_its_finder(client: TestClient, service: NewSecret) -> None:
    for secret in (service.client_secret, make("svc")):
        response = client.post("/oauth/revoke", data={"token": secret})
        assert_problem(response, 400, "UNSUPPORTED_TOKEN_TYPE")


def test_an_address_can_send_60_unknown_services_in_a_minute(config: Config, service: NewSecret, still: None) -> None:
    with TestClient(create_app(replace(config, rate_limits=()))) as client:
        assert issue(client, service).status_code == 200
        for expected in [401] * 60 + [429]:
            assert issue(client, NewSecret(uuid4(), make("svc"))).status_code == expected
        sleep(0.2)
        # The process knows this one, even if it does not know of all changes.
        assert issue(client, service).status_code == 200
