"""The extension `x-step-up`: what it may contain, what it adds to the contract, and which callers it accepts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from api import clock, contract
from api.contract import ContractError
from tests.support.engine import OPERATION, SHARED, Engine, document
from tests.support.types import Travel

RESPONSE = "x-shared: {responses: {with-step-up: {'401': {description: Too old.}}}}\n"


@dataclass(frozen=True)
class Caller:
    """A caller who proved its identity when the service started. Its token is a comma-separated list of scopes."""

    scopes: frozenset[str]
    authenticated_at: datetime


def operation(step_up: str, security: str = "[{bearer: []}]", more: str = "") -> str:
    return document(OPERATION.replace("resp", f"security: {security}, {more}x-step-up: {step_up}, resp"))


def serve(engine: Engine, text: str) -> None:
    """Serve GET /x to callers who have just proved their identity."""
    began = clock.now()

    async def identify(token: str) -> Caller:
        return Caller(frozenset(token.split(",")), began)

    engine.authenticators = {"bearer": identify}
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    engine.write(text)


@pytest.mark.parametrize("security", ["[{bearer: []}]", "[{bearer: []}, {other: []}]"])
@pytest.mark.parametrize(("age", "status"), [(0, 200), (59, 200), (61, 401), (-30, 200)])
def test_only_a_recent_proof_of_identity_is_accepted(
    engine: Engine, travel: Travel, security: str, age: float, status: int
) -> None:
    serve(engine, operation("{seconds: 60}", security))
    engine.authenticators["other"] = engine.authenticators["bearer"]
    other = "    other: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a.example', scopes: {}}}}\n"
    (engine.folder / "openapi.yaml").write_text(SHARED.rstrip() + "\n" + other)
    travel(timedelta(seconds=age))
    response = engine.request("/x", headers={"Authorization": "Bearer a"})
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"] == ('Bearer error="insufficient_user_authentication", max_age="60"')
        assert response.json()["code"] == "STEP_UP_REQUIRED"


def test_other_faults_of_a_token_come_before_its_age(engine: Engine, travel: Travel) -> None:
    serve(engine, operation("{seconds: 60}", more="x-scopes: [a, b], "))
    travel(timedelta(hours=1))
    for headers, code in (({}, "MISSING_TOKEN"), ({"Authorization": "Bearer a"}, "INSUFFICIENT_SCOPE")):
        assert engine.request("/x", headers=headers).json()["code"] == code


@pytest.mark.parametrize(
    ("step_up", "security", "message"),
    [
        ("900", "[{bearer: []}]", "x-step-up must be {seconds: 900}, with 60 to 86400 seconds"),
        ("[seconds]", "[{bearer: []}]", "x-step-up must be"),
        ("{}", "[{bearer: []}]", "x-step-up must be"),
        ("{seconds: 59}", "[{bearer: []}]", "x-step-up must be"),
        ("{seconds: 86401}", "[{bearer: []}]", "x-step-up must be"),
        ("{seconds: true}", "[{bearer: []}]", "x-step-up must be"),
        ("{seconds: 900, factor: true}", "[{bearer: []}]", "x-step-up must be"),
        ("{seconds: 900}", "[]", "x-step-up requires an access token, but security does not"),
        ("{seconds: 900}", "[{bearer: []}, {}]", "x-step-up requires an access token"),
        ("{seconds: 900}", "[{bearer: [], key: []}]", "x-step-up requires an access token"),
        ("{seconds: 900}", "[{bearer: []}, {key: []}]", "x-step-up requires an access token"),
        ("{seconds: 900}", "[{basic: []}]", "x-step-up requires an access token"),
        ("{seconds: 900}", "[{bearer: []}, {app: []}]", "x-step-up requires an access token"),
    ],
)
def test_invalid_requirements_are_faults(engine: Engine, step_up: str, security: str, message: str) -> None:
    engine.write(operation(step_up, security))
    schemes = "    key: {type: apiKey, in: header, name: X-Key}\n    basic: {type: http, scheme: basic}\n"
    schemes += "    app: {type: http, scheme: bearer, x-prefix: app_}\n"
    (engine.folder / "openapi.yaml").write_text(SHARED + schemes)
    with pytest.raises(ContractError, match=message):
        contract.load(engine.folder)


def test_the_contract_declares_and_describes_the_requirement(engine: Engine) -> None:
    engine.write(operation("{seconds: 900}", more="description: All things., "))
    (engine.folder / "openapi.yaml").write_text(SHARED + RESPONSE)
    published = contract.published(contract.load(engine.folder))["paths"]["/x"]["get"]
    assert published["responses"]["401"]["description"] == "Too old."
    assert published["description"] == (
        "All things.\n\nRequires a log-in or a step-up within the last 15 minutes, or else gets a 401."
    )
