"""The security schemes: the accepted callers, and the challenges for all others."""

import re
from base64 import b64encode
from typing import Any

import pytest

from api import contract
from api.contract import ContractError
from api.errors import InvalidCredentials, InvalidToken
from tests.support.engine import ECHO, SHARED, Engine, Identity, document

SCHEMES = """
    basic: {type: http, scheme: basic}
    header: {type: apiKey, in: header, name: X-Key}
    query: {type: apiKey, in: query, name: key}
    cookie: {type: apiKey, in: cookie, name: key}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a.example', scopes: {read: '', write: ''}}}}
    oidc: {type: openIdConnect, openIdConnectUrl: 'https://a.example'}
    digest: {type: http, scheme: digest}
    lonely: {type: http, scheme: basic}
    upper: {type: http, scheme: BASIC}
    alias: {$ref: '#/components/securitySchemes/header'}
    other: {$ref: '#/components/securitySchemes/query'}
    key: {type: http, scheme: bearer, x-prefix: key_}
    app: {type: http, scheme: Bearer, x-prefix: app_}
"""


def serve(engine: Engine, security: str, more: str = "") -> None:
    """Serve GET /x with this security. The response has the caller's scopes."""

    async def identify(*credential: str) -> Identity:
        if "wrong" in credential:
            raise InvalidCredentials()
        return Identity(frozenset(",".join(credential).split(",")))

    names = ("basic", "header", "query", "cookie", "oauth", "oidc", "digest", "upper", "alias", "other", "key", "app")
    engine.authenticators = dict.fromkeys(names, identify)
    (engine.folder / "openapi.yaml").write_text(SHARED.rstrip() + SCHEMES)
    engine.write(document(f"{{tags: [a], operationId: listThings, security: {security}, {more}{ECHO}}}"))
    engine.handlers.list_things = lambda identity: {"caller": described(identity)}  # type: ignore[attr-defined]


def described(identity: Any) -> Any:
    if isinstance(identity, dict):
        return {name: described(caller) for name, caller in identity.items()}
    return identity and sorted(identity.scopes)


def basic(text: str | bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(text.encode() if isinstance(text, str) else text).decode()}


BEARER = {"Authorization": "Bearer a"}
KEY = {"X-Key": "k"}


@pytest.mark.parametrize(
    ("security", "query", "headers", "caller"),
    [
        ("[{bearer: []}]", "", BEARER, ["a"]),
        ("[{basic: []}]", "", basic("ann:pass:word"), ["ann", "pass:word"]),
        ("[{basic: []}]", "", basic("änn:"), ["", "änn"]),
        ("[{upper: []}]", "", basic("ann:a"), ["a", "ann"]),
        ("[{header: []}]", "", KEY, ["k"]),
        ("[{alias: []}]", "", KEY, ["k"]),
        ("[{query: []}]", "?key=k%2B", {}, ["k+"]),
        ("[{other: []}]", "?key=k", {}, ["k"]),
        ("[{}]", "", BEARER, None),
        ("[{cookie: []}]", "", {"Cookie": "a=b; key=k"}, ["k"]),
        ("[{oauth: [read]}]", "", {"Authorization": "bearer read,write"}, ["read", "write"]),
        ("[{oidc: [read]}]", "", {"Authorization": "Bearer read"}, ["read"]),
        ("[{bearer: [], header: []}]", "", BEARER | KEY, {"bearer": ["a"], "header": ["k"]}),
        ("[{bearer: []}, {header: []}]", "", BEARER, ["a"]),
        ("[{bearer: []}, {header: []}]", "", KEY, ["k"]),
        ("[{basic: []}, {header: []}]", "", basic("ann:wrong") | KEY, ["k"]),
        ("[{bearer: []}, {}]", "", BEARER, ["a"]),
        ("[{}, {bearer: []}]", "", BEARER, ["a"]),
        ("[{}, {bearer: []}]", "", {}, None),
        ("[{bearer: [], header: []}, {}]", "", KEY, None),
        ("[{}]", "", {}, None),
        ("[{bearer: []}, {key: []}]", "", BEARER, ["a"]),
        ("[{bearer: []}, {key: []}]", "", {"Authorization": "Bearer key_a"}, ["key_a"]),
        ("[{app: []}, {key: []}, {}]", "", {"Authorization": "Bearer app_a"}, ["app_a"]),
        ("[{key: [], header: []}]", "", {"Authorization": "Bearer key_a"} | KEY, {"key": ["key_a"], "header": ["k"]}),
    ],
)
def test_callers_are_let_in(engine: Engine, security: str, query: str, headers: dict[str, str], caller: object) -> None:
    serve(engine, security)
    response = engine.request(f"/x{query}", headers=headers)
    assert (response.status_code, response.json()) == (200, {"caller": caller}), response.text


@pytest.mark.parametrize(
    ("security", "headers", "detail"),
    [
        (
            "[{basic: []}]",
            {"Authorization": "Basic ?"},
            "The Basic credentials must be `id:secret` in Base64, without control characters (RFC 7617).",
        ),
        (
            "[{basic: []}]",
            basic("a\x00n:b"),
            "The Basic credentials must be `id:secret` in Base64, without control characters (RFC 7617).",
        ),
        ("[{header: []}]", [("X-Key", "k"), ("X-Key", "k")], "The credential was sent more than once. Send it once."),
    ],
)
def test_malformed_credentials_are_named(engine: Engine, security: str, headers: Any, detail: str) -> None:
    serve(engine, security)
    assert engine.request("/x", headers=headers).json()["detail"] == detail


BASIC = 'Basic realm="Engine", charset="UTF-8"'
API_KEY = 'ApiKey realm="Engine"'


@pytest.mark.parametrize(
    ("security", "query", "headers", "code", "challenge"),
    [
        ("[{bearer: []}]", "", {}, "MISSING_TOKEN", "Bearer"),
        ("[{oauth: []}]", "", KEY, "MISSING_TOKEN", "Bearer"),
        ("[{basic: []}]", "", {}, "MISSING_TOKEN", BASIC),
        ("[{basic: []}]", "", BEARER, "MISSING_TOKEN", BASIC),
        ("[{basic: []}]", "", {"Authorization": "Basic ?"}, "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}]", "", basic(b"\xff:a"), "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}]", "", basic("ann"), "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}]", "", {"Authorization": "Basic YW5u!OmE="}, "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}]", "", basic("a\x00n:b"), "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}]", "", basic("ann:\x7f"), "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}]", "", basic("ann:wrong"), "INVALID_CREDENTIALS", BASIC),
        ("[{header: []}]", "?key=k", {}, "MISSING_TOKEN", API_KEY),
        ("[{header: []}]", "", {"X-Key": "wrong"}, "INVALID_CREDENTIALS", API_KEY),
        ("[{query: []}]", "?key=k&key=k", {}, "INVALID_CREDENTIALS", API_KEY),
        ("[{query: []}]", "?key=%FF", {}, "MISSING_TOKEN", API_KEY),
        ("[{query: []}, {}]", "?key=k&key=k", {}, "INVALID_CREDENTIALS", API_KEY),
        ("[{header: []}, {}]", "", [("X-Key", "k"), ("X-Key", "k")], "INVALID_CREDENTIALS", API_KEY),
        ("[{cookie: []}]", "", {"Cookie": "key=k; key=k"}, "INVALID_CREDENTIALS", API_KEY),
        ("[{cookie: []}, {}]", "", {"Cookie": "key=k; key=k"}, "INVALID_CREDENTIALS", API_KEY),
        ("[{bearer: [], header: []}]", "", KEY, "MISSING_TOKEN", f"Bearer, {API_KEY}"),
        ("[{bearer: []}, {header: []}]", "", {}, "MISSING_TOKEN", f"Bearer, {API_KEY}"),
        ("[{basic: []}, {header: []}]", "", basic("ann:wrong"), "INVALID_CREDENTIALS", f"{BASIC}, {API_KEY}"),
        (
            "[{basic: []}, {header: []}]",
            "",
            basic("ann:wrong") | {"X-Key": "wrong"},
            "INVALID_CREDENTIALS",
            f"{BASIC}, {API_KEY}",
        ),
        ("[{basic: []}, {}]", "", basic("ann:wrong"), "INVALID_CREDENTIALS", BASIC),
        ("[{basic: []}, {}]", "", BEARER, "MISSING_TOKEN", BASIC),
        ("[{header: []}, {}]", "", {"X-Key": "wrong"}, "INVALID_CREDENTIALS", API_KEY),
        ("[{header: [], bearer: []}, {}]", "", {"X-Key": "wrong"}, "INVALID_CREDENTIALS", f"{API_KEY}, Bearer"),
        ("[{bearer: [], header: []}, {}]", "", {"X-Key": "wrong"}, "INVALID_CREDENTIALS", f"{API_KEY}, Bearer"),
        ("[{bearer: []}, {key: []}]", "", {}, "MISSING_TOKEN", "Bearer"),
        ("[{bearer: []}, {key: []}]", "", {"Authorization": "Bearer app_a"}, "MISSING_TOKEN", "Bearer"),
        ("[{bearer: []}]", "", {"Authorization": "Bearer key_a"}, "MISSING_TOKEN", "Bearer"),
        ("[{key: []}, {}]", "", BEARER, "MISSING_TOKEN", "Bearer"),
    ],
)
def test_others_get_a_challenge(
    engine: Engine, security: str, query: str, headers: Any, code: str, challenge: str
) -> None:
    serve(engine, security)
    response = engine.request(f"/x{query}", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, code), response.text
    assert response.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("security", ["[{basic: []}]", "[{header: []}]"])
def test_a_title_with_unprintable_characters_is_a_realm(engine: Engine, security: str) -> None:
    serve(engine, security)
    file = engine.folder / "openapi.yaml"
    file.write_text(re.sub("title: [^,}\\n]*", lambda _: r'title: "A\tB\x7f\"\\é\n"', file.read_text(), count=1))
    response = engine.request("/x")
    assert response.status_code == 401
    assert 'realm="AB"' in response.headers["www-authenticate"]


def test_the_detail_says_how_to_authenticate(engine: Engine) -> None:
    serve(engine, "[{bearer: []}, {query: []}]")
    detail = "Send Authorization: Bearer <access_token> or the API key in the query key."
    assert engine.request("/x").json()["detail"] == f"This operation requires a credential. {detail}"


@pytest.mark.parametrize("scheme", ["oauth", "oidc"])
@pytest.mark.parametrize(("scopes", "status"), [("read", 403), ("write", 403), ("read,write", 200)])
def test_scopes_come_from_the_requirement_and_from_x_scopes(
    engine: Engine, scheme: str, scopes: str, status: int
) -> None:
    serve(engine, f"[{{{scheme}: [read]}}]", "x-scopes: [write], ")
    response = engine.request("/x", headers={"Authorization": f"Bearer {scopes}"})
    assert response.status_code == status
    if status == 403:
        assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="read write"'


def test_api_keys_have_scopes_without_a_challenge(engine: Engine) -> None:
    serve(engine, "[{header: []}]", "x-scopes: [write], ")
    assert engine.request("/x", headers={"X-Key": "write"}).status_code == 200
    response = engine.request("/x", headers=KEY)
    assert (response.status_code, response.headers.get("www-authenticate")) == (403, None)


def test_faults_are_not_revealed_without_a_credential(engine: Engine) -> None:
    serve(engine, "[{query: []}]", "parameters: [{name: n, in: query, schema: {type: integer}}], ")
    assert engine.request("/x?n=x").status_code == 401
    response = engine.request("/x?n=x&key=k")
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/query/n"]


@pytest.mark.parametrize(("style", "name"), [("form", "a"), ("deepObject", "color[a]")])
def test_a_key_in_the_query_is_not_a_parameter(engine: Engine, style: str, name: str) -> None:
    schema = "{type: object, additionalProperties: {type: string}}"
    color = f"{{name: color, in: query, style: {style}, explode: true, schema: {schema}}}"
    serve(engine, "[{query: []}]", f"parameters: [{color}], ")
    engine.handlers.list_things = lambda color: {"value": color}  # type: ignore[attr-defined]
    response = engine.request(f"/x?key=k&{name}=b")
    assert (response.status_code, response.json()) == (200, {"value": {"a": "b"}}), response.text


def test_the_security_of_an_operation_replaces_that_of_the_document(engine: Engine) -> None:
    serve(engine, "[{bearer: []}]")
    file = engine.folder / "openapi.yaml"
    file.write_text(file.read_text().replace("security: []", "security: [{header: []}]"))
    assert engine.request("/x", headers=BEARER).json() == {"caller": ["a"]}
    engine.write(document(f"{{tags: [a], operationId: listThings, {ECHO}}}"))
    assert engine.request("/x", headers=KEY).json() == {"caller": ["k"]}
    assert engine.request("/x", headers=BEARER).status_code == 401


@pytest.mark.parametrize(
    ("security", "message"),
    [
        ("[{unknown: []}]", ": the security scheme 'unknown' is not defined"),
        ("[{lonely: []}]", ": the security scheme 'lonely' has no function; give one to assemble"),
        ("[{digest: []}]", ": the security scheme 'digest' must not be http digest, which is not supported"),
    ],
)
def test_schemes_that_cannot_be_served_prevent_the_start(engine: Engine, security: str, message: str) -> None:
    serve(engine, security)
    with pytest.raises(ContractError, match=message):
        engine.start()


def test_optional_security_has_no_scopes(engine: Engine) -> None:
    serve(engine, "[{bearer: []}, {}]", "x-scopes: [write], ")
    with pytest.raises(ContractError, match=": x-scopes requires a token, but security does not"):
        engine.start()


def test_the_prefix_of_a_credential_selects_the_one_scheme_that_is_asked(engine: Engine) -> None:
    asked = []

    def asking(name: str) -> Any:
        async def identify(token: str) -> Identity:
            asked.append((name, token))
            raise InvalidToken()

        return identify

    serve(engine, "[{bearer: []}, {key: []}]")
    engine.authenticators = {name: asking(name) for name in ("bearer", "key")}
    for token in ("key_a", "a", "app_a", "KEY_a"):
        response = engine.request("/x", headers={"Authorization": f"Bearer {token}"})
        challenge = "Bearer" if token == "app_a" else 'Bearer error="invalid_token"'
        assert (response.status_code, response.headers["www-authenticate"]) == (401, challenge)
    assert asked == [("key", "key_a"), ("bearer", "a"), ("bearer", "KEY_a")]


def test_an_authenticator_may_ask_for_the_address(engine: Engine) -> None:
    async def identify(token: str, address: str) -> Identity:
        return Identity(frozenset([token, address]))

    serve(engine, "[{key: []}]")
    engine.authenticators["key"] = identify
    response = engine.request("/x", headers={"Authorization": "Bearer key_a"})
    assert response.json() == {"caller": ["key_a", "testclient"]}


@pytest.mark.parametrize(
    ("schemes", "security", "message"),
    [
        ("a: {type: http, scheme: basic, x-prefix: a_}", "[{a: []}]", "x-prefix must be the first characters of a"),
        ("a: {type: http, scheme: bearer, x-prefix: ''}", "[{a: []}]", "x-prefix must be the first characters of a"),
        ("a: {type: http, scheme: bearer, x-prefix: 'a b'}", "[]", "x-prefix must be the first characters of a"),
        ("a: {type: http, scheme: bearer, x-prefix: key_a}", "[]", "'key_a' begins with 'key_', the prefix of another"),
        ("a: {type: http, scheme: basic}", "[{bearer: [], key: []}]", "cannot carry two bearer credentials"),
    ],
)
def test_prefixes_that_cannot_work_are_faults(engine: Engine, schemes: str, security: str, message: str) -> None:
    serve(engine, security)
    file = engine.folder / "openapi.yaml"
    file.write_text(f"{file.read_text()}    {schemes}\n")
    with pytest.raises(ContractError, match=message):
        contract.load(engine.folder)


def test_an_application_can_replace_the_prefix_of_a_scheme(engine: Engine) -> None:
    serve(engine, "[{key: []}]")
    loaded = contract.load(engine.folder)
    changed = contract.with_prefixes(loaded, {"key": "other_"}).document["components"]["securitySchemes"]
    assert (changed["key"]["x-prefix"], changed["app"]["x-prefix"]) == ("other_", "app_")
    with pytest.raises(ContractError, match="the security scheme 'bearer' has no x-prefix"):
        contract.with_prefixes(loaded, {"bearer": "other_"})
