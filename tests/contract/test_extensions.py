"""The extensions of the contract: scopes, roles, services, errors, `x-body-bytes` and `x-shared`."""

import pytest

from api import contract
from api.contract import ContractError
from tests.support.engine import OPERATION, REQUEST_BODY, SHARED, Engine, Identity, document


@pytest.mark.parametrize(("token", "status"), [("", 401), ("a", 403), ("a,c", 403), ("a,b", 200), ("c,b,a", 200)])
def test_operations_require_all_of_their_scopes(engine: Engine, token: str, status: int) -> None:
    engine.write(document(OPERATION.replace("resp", "security: [{bearer: []}], x-scopes: [a, b], resp")))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    response = engine.request("/x", headers={"Authorization": f"Bearer {token}"} if token else {})
    assert response.status_code == status
    if status == 403:
        assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="a b"'
        assert response.json()["code"] == "INSUFFICIENT_SCOPE"


@pytest.mark.parametrize("roles", ["[a]", "{user: a}", "{user: [c]}", "{user: [a, c]}", "{user: [[a]]}"])
def test_roles_must_be_lists_of_known_scopes(engine: Engine, roles: str) -> None:
    engine.write(document(OPERATION.replace("resp", "security: [{bearer: []}], x-scopes: [a, b], resp")))
    assert contract.load(engine.folder).roles == {}
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-roles: {{guest: [a], user: [a, b]}}\n")
    assert contract.load(engine.folder).roles == {"guest": {"a"}, "user": {"a", "b"}}
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-roles: {roles}\n")
    with pytest.raises(ContractError, match="x-roles"):
        contract.load(engine.folder)


def test_roles_can_have_scopes_of_security_requirements(engine: Engine) -> None:
    scheme = "oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: /token, scopes: {read: Read.}}}}"
    shared = SHARED.replace("    bearer:", f"    {scheme}\n    bearer:")
    engine.write(document(OPERATION.replace("resp", "security: [{oauth: [read]}], resp")))
    (engine.folder / "openapi.yaml").write_text(f"{shared}x-roles: {{user: [read]}}\n")
    assert contract.load(engine.folder).roles == {"user": {"read"}}


@pytest.mark.parametrize("roles", ["{}", "{user: []}", "{user: [a]}", "{user: [a], guest: [b]}"])
def test_a_role_must_have_the_scopes_of_each_operation(engine: Engine, roles: str) -> None:
    engine.write(document(OPERATION.replace("resp", "security: [{bearer: []}], x-scopes: [b, a], resp")))
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-roles: {roles}\n")
    with pytest.raises(ContractError) as raised:
        contract.load(engine.folder)
    assert str(raised.value) == (
        "a.yaml:4: GET /x: x-scopes: every call would get a 403, because no role has a and b; "
        "add what is missing to a role in x-roles of openapi.yaml"
    )


@pytest.mark.parametrize(
    ("scopes", "more", "message"),
    [
        ("[a, c]", "", "x-service-scopes: no operation requires the scope 'c'"),
        ("[a, b]", "x-step-up: {seconds: 900}, ", "x-step-up requires a user, but x-service-scopes has all scopes"),
        ("[a]", "", None),
        ("[a]", "x-step-up: {seconds: 900}, ", None),
    ],
)
def test_scopes_of_services_are_checked(engine: Engine, scopes: str, more: str, message: str | None) -> None:
    engine.write(document(OPERATION.replace("resp", f"security: [{{bearer: []}}], x-scopes: [a, b], {more}resp")))
    shared = f"{SHARED}x-roles: {{user: [a, b]}}\nx-service-scopes: {scopes}\n"
    (engine.folder / "openapi.yaml").write_text(shared)
    if message is None:
        assert contract.load(engine.folder).service_scopes == {"a"}
        return
    with pytest.raises(ContractError) as raised:
        contract.load(engine.folder)
    assert message in str(raised.value)


def test_an_operation_can_require_scopes_that_only_services_have(engine: Engine) -> None:
    engine.write(document(OPERATION.replace("resp", "security: [{bearer: []}], x-scopes: [a], resp")))
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-roles: {{user: []}}\nx-service-scopes: [a]\n")
    assert contract.load(engine.folder).service_scopes == {"a"}


@pytest.mark.parametrize(("scopes", "status"), [("", 403), ("x-scopes: [a], ", 200), ("x-scopes: [b], ", 403)])
def test_a_caller_that_needs_scopes_cannot_call_operations_without(engine: Engine, scopes: str, status: int) -> None:
    async def identify(_: str) -> Identity:
        return Identity(frozenset(["a"]), needs_scopes=True)

    engine.authenticators["bearer"] = identify
    engine.write(document(OPERATION.replace("resp", f"security: [{{bearer: []}}], {scopes}resp")))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    response = engine.request("/x", headers={"Authorization": "Bearer t"})
    assert response.status_code == status
    if not scopes:
        assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


@pytest.mark.parametrize(("extension", "error"), [("", None), ("x-oauth-errors: true, ", "invalid_client")])
def test_oauth_errors_are_an_option_of_an_operation(engine: Engine, extension: str, error: str | None) -> None:
    engine.write(document(OPERATION.replace("resp", f"security: [{{bearer: []}}], {extension}resp")))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    assert engine.request("/x").json().get("error") == error


@pytest.mark.parametrize("size", [100, 2000])
def test_operations_can_set_their_own_body_limit(engine: Engine, size: int) -> None:
    engine.write(
        document(OPERATION.replace("resp", f"requestBody: {REQUEST_BODY}, x-body-bytes: {size}, resp")).replace(
            "get:", "put:"
        )
    )
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    for length, status in ((size, 200), (size + 1, 413)):
        for content in (b"{}".ljust(length), iter([b"{}".ljust(length)])):
            response = engine.request("/x", "PUT", content=content, headers={"Content-Type": "application/json"})
            assert (length, response.status_code) == (length, status)
    assert response.json()["detail"] == f"The body is larger than {size} bytes."


STRINGS = """
tags: [{name: a}]
paths: {}
components:
  schemas:
    Words:
      type: object
      properties:
        type: {type: string}
        own: {type: string, maxLength: 3, pattern: ^a}
        long: {type: string, minLength: 20}
        kind: {type: string, enum: [a]}
        id: {type: string, format: uuid}
        file: {type: string, format: binary}
        many: {type: array, items: {type: string}, example: [{type: string}]}
"""


def test_the_rules_of_strings_are_stated_once(engine: Engine) -> None:
    engine.write(STRINGS)
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-shared: {{strings: {{maxLength: 9, pattern: ^b}}}}\n")
    words = contract.published(contract.load(engine.folder))["components"]["schemas"]["Words"]["properties"]
    assert words == {
        "type": {"type": "string", "maxLength": 9, "pattern": "^b"},
        "own": {"type": "string", "maxLength": 3, "pattern": "^a"},
        "long": {"type": "string", "minLength": 20, "maxLength": 20, "pattern": "^b"},
        "kind": {"type": "string", "enum": ["a"]},
        "id": {"type": "string", "format": "uuid", "maxLength": 9},
        "file": {"type": "string", "format": "binary"},
        "many": {
            "type": "array",
            "items": {"type": "string", "maxLength": 9, "pattern": "^b"},
            "example": [{"type": "string"}],
        },
    }


@pytest.mark.parametrize("rules", ["[a]", "{maxLength: a}", "{maxLength: true}", "{minLength: 1}"])
def test_the_rules_of_strings_must_be_known(engine: Engine, rules: str) -> None:
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}x-shared: {{strings: {rules}}}\n")
    with pytest.raises(ContractError, match="x-shared: strings must have the members"):
        contract.load(engine.folder)
