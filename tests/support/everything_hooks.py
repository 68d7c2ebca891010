"""Hooks of Schemathesis for the contract with every construct."""

import json
import re
from typing import Any

import schemathesis
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode, HookContext, Response
from schemathesis.core.mutations import Mutation
from schemathesis.core.parameters import ParameterLocation

Case = AnyCase[Any]
_WORD = re.compile("[b-d]{1,8}")


@schemathesis.deserializer("application/x-ndjson")
def rows(_: Any, response: Response) -> list[Any]:
    """Return the rows of a response, so that Schemathesis validates them."""
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def before_call(_: HookContext, case: Case, __: dict[str, Any]) -> None:
    """Count a case as valid if its invalid values are not sent, or are sent as valid ones.

    Schemathesis does so itself for most styles, but not for these.
    """
    if case.meta is None or case.meta.generation.mode.is_positive:
        return
    mutations = getattr(case.meta.phase.data, "mutations", ())
    if mutations and all(_is_valid_as_sent(case, mutation) for mutation in mutations):
        case.meta.generation.mode = GenerationMode.POSITIVE
        for component in case.meta.components.values():
            component.mode = GenerationMode.POSITIVE


def _is_valid_as_sent(case: Case, mutation: Mutation) -> bool:
    operation, name = case.operation.definition.raw["operationId"], mutation.path[0] if mutation.path else None
    if operation == "labelPath" and name == "list" and mutation.parameter_location is ParameterLocation.PATH:
        # A text is sent like a list of one item.
        return _WORD.fullmatch(case.path_parameters["list"].removeprefix(".")) is not None
    if not isinstance(case.body, dict) or mutation.parameter_location is not ParameterLocation.BODY:
        return False
    if operation == "postForm" and name == "deep":
        # Neither an empty object nor an empty list is sent.
        deep = case.body.get("deep")
        return deep == {} or (isinstance(deep, dict) and not any(part != [] for part in deep.values()))
    # A file can have any content.
    return operation == "postMultipart" and name == "file" and mutation.keywords == ("format",)
