"""The contract as clients get it: with the public URL, and in a form that common tools accept."""

from copy import deepcopy
from typing import Any

from api.contract.document import events, features, step_up
from api.contract.document.model import Contract
from api.contract.document.operation import Json, Operation, base_path, resolve
from api.contract.document.rate_limits import described, limited


def located(contract: Contract, public_url: str) -> Contract:
    """Return the contract with the public URL at the beginning of each `Location`."""
    if not public_url:
        return contract
    copy = Contract(deepcopy(contract.document))
    for headers in _members(copy.document, "headers"):
        schema = headers.get("Location", {}).get("schema", {})
        if "enum" in schema:
            paths = schema["enum"]
            schema |= {"enum": [f"{public_url}{path}" for path in paths], "example": f"{public_url}{paths[0]}"}
    return copy


def published(contract: Contract, public_url: str = "") -> Json:
    """Return the document that clients get. Its server is the public URL, or `/` without one.

    It means the same as the document of the contract. Only the spelling changes, as some tools require.
    """
    document = deepcopy(located(contract, public_url).document)
    if public_url:
        _relocate(document, public_url)
    for operation, policies in limited(Contract(document)):
        lines = "\n".join(f"* {described(policy)}" for policy in policies)
        _add_to_description(operation, f"A request beyond one of these limits gets a 429:\n\n{lines}\n")
    for operation in Contract(document).operations():
        if operation.feature:
            _add_to_description(operation, f"{features.described(operation)}\n")
            operation.definition.pop("x-switched-off", None)
        if operation.step_up_seconds is not None:
            _add_to_description(operation, step_up.described(operation.step_up_seconds))
        if operation.events:
            _add_to_description(operation, events.described(operation))
        for content in operation.definition.get("requestBody", {}).get("content", {}).values():
            if content.pop("x-inline", False):
                content["schema"] = _inlined(content["schema"], document)
    for links in _members(document, "links"):
        for link in links.values():
            _respell(link)
    return document


def _add_to_description(operation: Operation, text: str) -> None:
    given = str(operation.definition.get("description", "")).rstrip("\n")
    operation.definition["description"] = f"{given}\n\n{text}".lstrip()


def _relocate(document: Json, public_url: str) -> None:
    """Set the public URL in the first server of the document, its paths and its operations. Paths stay."""
    document.setdefault("servers", [{"url": "/"}])
    for node in [document, *document["paths"].values(), *(item.definition for item in Contract(document).operations())]:
        if node.get("servers"):
            server = node["servers"][0]
            server["url"] = public_url + base_path(server)
            server.pop("variables", None)


def _respell(link: Json) -> None:
    # swagger-parser, and so openapi-generator, accepts only a string as the body of a link.
    if not isinstance(link.get("requestBody", ""), str):
        link["x-request-body"] = link.pop("requestBody")
    # No operation declares this header as a parameter. Schemathesis reports a valid token here as an accepted forgery.
    authorization = link.get("parameters", {}).pop("header.Authorization", None)
    if authorization is not None:
        link["x-authorization"] = authorization


def _inlined(schema: Json, document: Json) -> Json:
    """Return a schema that shows its properties beside the reference, so that the name and the meaning stay."""
    return {"allOf": [schema], "properties": deepcopy(resolve(schema, document)["properties"])}


def _members(node: Any, name: str) -> list[Json]:
    """Return all members of this name in a document, at any depth."""
    if isinstance(node, list):
        return [member for part in node for member in _members(part, name)]
    if not isinstance(node, dict):
        return []
    own = [node[name]] if isinstance(node.get(name), dict) else []
    return own + [member for part in node.values() for member in _members(part, name)]
