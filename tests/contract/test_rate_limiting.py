"""The extension `x-rate-limit`: what it may contain, and what it adds to the contract and to responses."""

import pytest

from api import contract
from api.contract import ContractError, Policy
from api.contract.document.rate_limits import described
from tests.support.engine import OPERATION, Engine, document

POLICY = "{name: address, by: address, quota: 2, window: 60}"
TEXT = (
    "{content: {application/json: {schema: {type: object, properties: {user: {type: string}, age: {type: integer}}}}}}"
)


def operation(limit: str, more: str = "") -> str:
    return document(OPERATION.replace("resp", f"{more}x-rate-limit: {limit}, resp"))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("[]", "must be a list of policies, or the reason"),
        ("''", "must be a list of policies, or the reason"),
        ("5", "must be a list of policies, or the reason"),
        ("[5]", "must be a list of policies, or the reason"),
        ("[{name: a, by: address, quota: 1}]", "a policy has name, by, quota and window"),
        (f"[{POLICY[:-1]}, burst: 1}}]", "a policy has name, by, quota and window"),
        ("[{name: A, by: address, quota: 1, window: 1}]", "name must consist of small letters"),
        ("[{name: a, by: address, quota: 0, window: 1}]", "quota must be an integer from 1 to 10000"),
        ("[{name: a, by: address, quota: 10001, window: 1}]", "quota must be an integer from 1 to 10000"),
        ("[{name: a, by: address, quota: true, window: 1}]", "quota must be an integer from 1 to 10000"),
        ("[{name: a, by: address, quota: 1, window: 86401}]", "window must be an integer from 1 to 86400"),
        ("[{name: a, by: address, quota: 1, window: 1, refund: always}]", "refund must be success or failure"),
        ("[{name: a, by: identity, quota: 1, window: 1}]", "by identity requires a token"),
        ("[{name: a, by: body.user, quota: 1, window: 1}]", "by must be address, identity, or body."),
        ("[{name: a, by: header.user, quota: 1, window: 1}]", "by must be address, identity, or body."),
        ("[{name: a, by: address, quota: 1, window: 1, apart: proof}]", "apart must be a list of place, and of at"),
        ("[{name: a, by: address, quota: 1, window: 1, apart: [proof]}]", "apart must be a list of place, and of at"),
        ("[{name: a, by: address, quota: 1, window: 1, apart: []}]", "apart must be a list of place, and of at"),
        ("[{name: a, by: address, quota: 1, window: 1, apart: [place, place]}]", "apart must be a list of place, and"),
        ("[{name: a, by: address, quota: 1, window: 1, apart: [place]}]", "apart has a place, so by must be body"),
        (f"[{POLICY}, {POLICY}]", "each policy needs a name of its own"),
    ],
)
def test_invalid_policies_are_faults(engine: Engine, limit: str, message: str) -> None:
    engine.write(operation(limit))
    with pytest.raises(ContractError, match=message):
        contract.load(engine.folder)


@pytest.mark.parametrize(("name", "is_valid"), [("user", True), ("age", False), ("other", False)])
def test_a_policy_by_the_body_needs_a_text(engine: Engine, name: str, is_valid: bool) -> None:
    engine.write(
        operation(f"[{{name: a, by: body.{name}, quota: 1, window: 1}}]", f"requestBody: {TEXT}, ").replace(
            "get:", "post:"
        )
    )
    if is_valid:
        contract.load(engine.folder)
    else:
        with pytest.raises(ContractError, match="by must be address, identity, or body"):
            contract.load(engine.folder)


def test_the_published_description_names_the_limits(engine: Engine) -> None:
    engine.write(operation(f"[{POLICY}]", "description: All things., "))
    published = contract.published(contract.load(engine.folder))
    assert published["paths"]["/x"]["get"]["description"] == (
        "All things.\n\nA request beyond one of these limits gets a 429:\n\n"
        "* `address`: 2 requests per minute for each address\n"
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy("a", "address", 1, 1), "`a`: 1 request per second for each address"),
        (Policy("a", "address", 3, 86400), "`a`: 3 requests per day for each address"),
        (Policy("a", "address", 60, 3600), "`a`: 60 requests per hour for each address"),
        (Policy("a", "identity", 10, 600, refund="success"), "`a`: 10 failed requests per 10 minutes for each user"),
        (Policy("a", "address", 5, 60, refund="failure"), "`a`: 5 successful requests per minute for each address"),
        (Policy("a", "body.name", 5, 90), "`a`: 5 requests per 90 seconds for each `name`"),
        (
            Policy("a", "body.name", 1, 60, refund="success", apart=("proof",)),
            "`a`: 1 failed request per minute for each `name`, and as many for each valid `proof`",
        ),
        (
            Policy("a", "body.name", 1, 60, apart=("proof", "place")),
            "`a`: 1 request per minute for each `name`, and as many for each valid `proof` and each known place of the "
            "user",
        ),
        (
            Policy("a", "body.name", 1, 60, apart=("place",)),
            "`a`: 1 request per minute for each `name`, and as many for each known place of the user",
        ),
    ],
)
def test_a_policy_has_a_description(policy: Policy, words: str) -> None:
    assert described(policy) == words


def test_overrides_change_quotas_or_remove_policies(engine: Engine) -> None:
    engine.write(operation(f"[{POLICY}]"))
    loaded = contract.load(engine.folder)
    changed = contract.with_overrides(loaded, {"listThings.address": (5, 7)})
    [(_, [policy])] = contract.limited(changed)
    assert (policy.quota, policy.window) == (5, 7)
    for nothing in ({"listThings.address": None}, None):
        unlimited = contract.with_overrides(loaded, nothing)
        assert contract.limited(unlimited) == []
        assert unlimited.document["paths"]["/x"]["get"]["x-rate-limit"] == (
            "This server has switched its rate limits off."
        )
    [(_, [policy])] = contract.limited(loaded)
    assert (policy.quota, policy.window) == (2, 60)
    with pytest.raises(
        ContractError, match=r"no operation has the rate limit listThing\.address; did you mean listThings"
    ):
        contract.with_overrides(loaded, {"listThing.address": None})
