"""Hooks of Schemathesis for the contract with every construct."""

import json
import re
from typing import Any

import schemathesis
from jsonschema import Draft202012Validator
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode, HookContext, Response
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
    if case.meta is None or not case.meta.generation.mode.is_negative:
        return
    changed = [place for place, component in case.meta.components.items() if component.mode.is_negative]
    is_valid = {"labelPath": _is_valid_label, "postForm": _is_valid_form, "postMultipart": _is_valid_form}
    check = is_valid.get(case.operation.definition.raw["operationId"])
    if check is None or changed not in ([ParameterLocation.PATH], [ParameterLocation.BODY]) or not check(case):
        return
    case.meta.generation.mode = GenerationMode.POSITIVE
    for component in case.meta.components.values():
        component.mode = GenerationMode.POSITIVE


def _is_valid_label(case: Case) -> bool:
    """Return True if only the list was changed, to the text of one item."""
    mutations = getattr(case.meta.phase.data, "mutations", ()) if case.meta else ()
    text = case.path_parameters["list"].removeprefix(".")
    return {mutation.path[:1] for mutation in mutations} == {("list",)} and _WORD.fullmatch(text) is not None


def _is_valid_form(case: Case) -> bool:
    """Return True if a reader of the sent form finds a valid body."""
    if not isinstance(case.body, dict):
        return False
    read = _part_of_form if case.media_type == "application/x-www-form-urlencoded" else _part_of_multipart
    body = {name: value for name, part in case.body.items() if (value := read(name, part)) not in ([], {})}
    if any(isinstance(value, float) for value in body.values()):
        # JSON Schema takes 1.0 for an integer, but its text is that of a number.
        return False
    (schema,) = (each.optimized_schema for each in case.operation.body if each.media_type == case.media_type)
    return Draft202012Validator(schema).is_valid(body)


def _part_of_form(name: str, part: Any) -> Any:
    """Return what is sent of a value: empty lists, also in an object, are not. A list in one text is an empty text."""
    if name == "csv" and part == []:
        return ""
    return {name: member for name, member in part.items() if member != []} if isinstance(part, dict) else part


def _part_of_multipart(name: str, part: Any) -> Any:
    """Return what a reader finds for a value: a file can have any content, and one file is a list, too."""
    if name == "file" and not isinstance(part, list | dict):
        return ""
    if name == "files":
        items = part if isinstance(part, list) else [part]
        return ["x" * len(getattr(item, "data", str(item))) for item in items]
    return json.dumps(part) if part == {} else part
