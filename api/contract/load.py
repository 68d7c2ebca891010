"""Read the YAML files of a folder as one OpenAPI document."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

Json = dict[str, Any]


class ContractError(Exception):
    """The document cannot be served as it stands; the process refuses to start."""


@dataclass(frozen=True)
class Contract:
    """One OpenAPI document, whole: `document` is what `getContract` publishes."""

    document: Json

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Each operation as (path, method in lower case, operation object)."""
        for path, item in self.document["paths"].items():
            for method in METHODS & item.keys():
                yield path, method, item[method]

    def executable(self, handlers: str) -> "Contract":
        """A copy that tells Connexion which module of the package `handlers` serves each operation: its tag's."""
        copy = Contract(deepcopy(self.document))
        for _, _, operation in copy.operations():
            operation["x-openapi-router-controller"] = f"{handlers}.{operation['tags'][0]}"
        return copy


def load(folder: Path) -> Contract:
    """Merge `openapi.yaml` and the one file per tag beside it.

    Raises ContractError when something is defined twice, or an operation stands in another file than its tag's.
    """
    document = _read(folder / "openapi.yaml") | {"tags": []}
    for file in sorted(folder.glob("*.yaml")):
        if file.name != "openapi.yaml":
            _merge(document, _read(file), file.stem)
    contract = Contract(document)
    shared = document.pop("x-shared", {})
    for path, method, operation in contract.operations():
        _check(f"{method.upper()} {path}", operation, document)
        _share(shared, operation, document)
    _add_headers(shared, document.get("x-elsewhere", {}), document)
    return contract


class _StrictLoader(yaml.SafeLoader):
    """YAML without the surprises: a key stands once, and a time is a string, as in JSON."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise ContractError(f"{node.start_mark}: {key!r} stands here twice")
        return super().construct_mapping(node, deep)


def _read(file: Path) -> Json:
    with file.open(encoding="utf-8") as stream:
        try:
            return cast(Json, yaml.load(stream, _StrictLoader))  # noqa: S506 - it is a SafeLoader
        except yaml.YAMLError as error:
            raise ContractError(f"{file} is not YAML: {error}") from None


def _merge(document: Json, part: Json, tag: str) -> None:
    if not {"tags", "paths"} <= part.keys() <= {"tags", "paths", "components"}:
        raise ContractError(f"{tag}.yaml must have tags and paths, may have components, and nothing else")
    if [entry["name"] for entry in part["tags"]] != [tag]:
        raise ContractError(f"{tag}.yaml must describe the one tag {tag!r}")
    document["tags"] += part["tags"]
    for path, item in part["paths"].items():
        for method, operation in item.items():
            if operation.get("tags") != [tag]:
                raise ContractError(f"{tag}.yaml: {method.upper()} {path} must have the one tag {tag!r}")
            _add(document["paths"].setdefault(path, {}), method, operation, f"{method.upper()} {path}")
    for kind, components in part.get("components", {}).items():
        for name, component in components.items():
            _add(document["components"].setdefault(kind, {}), name, component, f"components.{kind}.{name}")


def _add(target: Json, name: str, value: object, address: str) -> None:
    if name in target:
        raise ContractError(f"{address} is defined twice")
    target[name] = value


def _check(address: str, operation: Json, document: Json) -> None:
    security = operation.get("security", document.get("security")) or []
    if {} in security:
        # Connexion lets a bad token pass as no token where one is optional.
        raise ContractError(f"{address}: security is either [] or required, never optional")
    try:
        success(operation)
    except ValueError:
        raise ContractError(f"{address} must declare exactly one 2xx response") from None


def success(operation: Json) -> str:
    """The one 2xx status that the operation declares."""
    (status,) = (status for status in operation["responses"] if status.startswith("2"))
    return str(status)


def _share(shared: Json, operation: Json, document: Json) -> None:
    """Write what all operations have in common into one of them; what it says itself comes first."""
    groups = shared.get("responses", {})
    applying = dict(groups.get("always", {}))
    if operation.get("security", document.get("security")):
        applying |= groups.get("with-security", {})
    if "requestBody" in operation:
        applying |= groups.get("with-body", {})
    operation["responses"] = dict(sorted({**applying, **operation["responses"]}.items()))
    _add_headers(shared, operation["responses"], document)


def _add_headers(shared: Json, responses: Json, document: Json) -> None:
    for response in responses.values():
        definition = _resolve(response, document)
        definition["headers"] = {**shared.get("headers", {}), **definition.get("headers", {})}


def _resolve(node: Json, document: Json) -> Json:
    if "$ref" not in node:
        return node
    target: Any = document
    for name in node["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return cast(Json, target)
