"""Read the YAML files of a folder as one OpenAPI document."""

from pathlib import Path
from typing import Any

import yaml

from api.contract.document.checks import check
from api.contract.document.model import Contract, ContractError, mapping
from api.contract.document.operation import METHODS, Json, Operation, resolve
from api.contract.document.shared_strings import apply_string_rules
from api.contract.document.structure import check_structure

try:
    # libyaml needs an eighth of the time. The wheels of PyYAML include it.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]


def load(folder: Path) -> Contract:
    """Merge `openapi.yaml` with the files beside it, one for each tag.

    Raises ContractError if something is defined twice, is in the file of another tag, or cannot be served.
    """
    document = _read(folder / "openapi.yaml") | {"tags": []}
    for name in ("info", "paths", "components"):
        mapping(document, name, "openapi.yaml")
    if document["paths"]:
        raise ContractError("openapi.yaml: paths must be {}, because each tag has its own file")
    for file in sorted(folder.glob("*.yaml")):
        if file.name != "openapi.yaml":
            _merge(document, _read(file), file.stem)
    shared = document.pop("x-shared", {})
    apply_string_rules(shared, document)
    check(document)
    check_structure(document)
    contract = Contract(document)
    for operation in contract.operations():
        _apply_shared(shared, operation)
    _add_headers(shared, document.get("x-elsewhere", {}), document)
    return contract


class _StrictLoader(SafeLoader):
    """A strict YAML loader: keys must be unique strings, values must not be empty, and times stay strings."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = {"<<"}
        for key, value in node.value:
            if key.tag not in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}:
                raise ContractError(f"{_place(key)}: the key {key.value!r} must be quoted")
            if key.value in seen - {"<<"}:
                raise ContractError(f"{_place(key)}: duplicate key {key.value!r}")
            if value.tag == "tag:yaml.org,2002:null" and not value.value:
                raise ContractError(f"{_place(key)}: {key.value!r} must not be empty")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _place(node: yaml.Node) -> str:
    return f"{Path(node.start_mark.name).name}, line {node.start_mark.line + 1}"


def _read(file: Path) -> Json:
    try:
        with file.open(encoding="utf-8") as stream:
            value = yaml.load(stream, _StrictLoader)  # noqa: S506 - it is a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{file.name} is not valid YAML: {error}") from None
    except OSError as error:
        raise ContractError(f"{file} cannot be read: {error.strerror}") from None
    if not isinstance(value, dict):
        raise ContractError(f"{file.name} must be a mapping")
    return value


def _merge(document: Json, part: Json, tag: str) -> None:
    if not {"tags", "paths"} <= part.keys() <= {"tags", "paths", "components"}:
        raise ContractError(f"{tag}.yaml must have tags and paths, optionally components, and nothing else")
    tags = part["tags"]
    if not isinstance(tags, list) or len(tags) != 1 or not isinstance(tags[0], dict) or tags[0].get("name") != tag:
        raise ContractError(f"{tag}.yaml must describe exactly one tag, {tag!r}")
    document["tags"] += tags
    paths = mapping(part, "paths", f"{tag}.yaml")
    for path in paths:
        _merge_path(document, path, mapping(paths, path, f"{tag}.yaml"), tag)
    components = mapping(part, "components", f"{tag}.yaml") if "components" in part else {}
    for kind in components:
        for name, component in mapping(components, kind, f"{tag}.yaml: components").items():
            _add(document["components"].setdefault(kind, {}), name, component, f"components.{kind}.{name}")


def _merge_path(document: Json, path: str, item: Json, tag: str) -> None:
    for method in item:
        address = f"{tag}.yaml: {method.upper()} {path}"
        if method not in METHODS:
            raise ContractError(f"{tag}.yaml: {path}: unknown method {method!r} (path-level fields are not supported)")
        operation = mapping(item, method, f"{tag}.yaml: {path}")
        if operation.get("tags") != [tag]:
            raise ContractError(f"{address} must have exactly one tag, {tag!r}")
        _add(document["paths"].setdefault(path, {}), method, operation, f"{method.upper()} {path}")


def _add(target: Json, name: str, value: object, address: str) -> None:
    if name in target:
        raise ContractError(f"{address} is defined twice")
    target[name] = value


def _apply_shared(shared: Json, operation: Operation) -> None:
    """Add the shared responses and headers to an operation. Its own definitions take precedence."""
    groups = shared.get("responses", {})
    applying = dict(groups.get("always", {}))
    if operation.security:
        applying |= groups.get("with-security", {})
    if operation.scopes:
        applying |= groups.get("with-scopes", {})
    if "requestBody" in operation.definition:
        applying |= groups.get("with-body", {})
    responses = dict(sorted({**applying, **operation.definition["responses"]}.items()))
    operation.definition["responses"] = responses
    _add_headers(shared, responses, operation.document)


def _add_headers(shared: Json, responses: Json, document: Json) -> None:
    for response in responses.values():
        definition = resolve(response, document)
        definition["headers"] = {**shared.get("headers", {}), **definition.get("headers", {})}
