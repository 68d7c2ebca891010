"""The extension `x-feature`: operations that the settings of a server switch off."""

import pytest

from api import contract
from api.contract import ContractError
from tests.support.engine import OPERATION, SHARED, Engine, document

FEATURE = "description: All things., x-feature: big-things, "


def operation(more: str = FEATURE) -> str:
    return document(OPERATION.replace("resp", f"{more}resp"))


@pytest.mark.parametrize("token", ["", "a"])
def test_an_operation_that_is_off_rejects_each_request(engine: Engine, token: str) -> None:
    engine.write(operation(f"{FEATURE}security: [{{bearer: []}}], "))
    engine.handlers.list_things = lambda: {}  # type: ignore[attr-defined]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    engine.features = {"big-things": False}
    for query in ("", "?unknown=1"):
        response = engine.request(f"/x{query}", headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "SWITCHED_OFF")
    engine.features = {"big-things": True}
    assert engine.request("/x", headers=headers).status_code == (200 if token else 401)


def test_a_feature_must_be_known_to_the_application(engine: Engine) -> None:
    engine.write(operation())
    engine.features = {"small-things": True}
    with pytest.raises(ContractError) as raised:
        engine.start()
    assert str(raised.value) == ("a.yaml:4: GET /x: unknown feature 'big-things'; the application has small-things")


@pytest.mark.parametrize("name", ["''", "Big", "[big]", "7", "big_things"])
def test_a_feature_must_be_a_name(engine: Engine, name: str) -> None:
    engine.write(operation(f"x-feature: {name}, "))
    with pytest.raises(ContractError, match="x-feature must consist of small letters, such as open-sign-up"):
        contract.load(engine.folder)


def test_operations_of_a_feature_share_a_response(engine: Engine) -> None:
    engine.write(operation())
    shared = "x-shared: {responses: {with-feature: {'403': {description: Off.}}}}\n"
    (engine.folder / "openapi.yaml").write_text(f"{SHARED}{shared}")
    responses = contract.load(engine.folder).document["paths"]["/x"]["get"]["responses"]
    assert responses["403"]["description"] == "Off."
    engine.write(operation(""))
    assert "403" not in contract.load(engine.folder).document["paths"]["/x"]["get"]["responses"]


@pytest.mark.parametrize(
    ("is_on", "text"),
    [
        (True, "This is the feature `big-things`. A server that has switched it off returns a 403."),
        (False, "This server has switched the feature `big-things` off. Each request gets a 403."),
    ],
)
def test_the_published_description_names_the_feature(engine: Engine, is_on: bool, text: str) -> None:
    engine.write(operation())
    loaded = contract.load(engine.folder)
    published = contract.published(contract.with_features(loaded, {"big-things": is_on}))
    found = published["paths"]["/x"]["get"]
    assert found["description"] == f"All things.\n\n{text}\n"
    assert found["x-feature"] == "big-things"
    assert "x-switched-off" not in found
