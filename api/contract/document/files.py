"""Read the files of a contract: YAML 1.2 with the core schema, and JSON."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from api.contract.document.faults import ContractError, ContractFault

try:
    # libyaml needs an eighth of the time. The wheels of PyYAML include it.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

SUFFIXES = (".yaml", ".yml", ".json")
_TAG = "tag:yaml.org,2002:"


class CoreLoader(SafeLoader):
    """A loader for YAML 1.2 (section 10.3, core schema). PyYAML reads YAML 1.1, in which `NO` is false.

    Keys are always strings, as OpenAPI requires, and must be unique. `<<` merges mappings, as in YAML 1.1.
    """

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as PyYAML declares it
    yaml_constructors = {
        name: SafeLoader.yaml_constructors[name] for name in (f"{_TAG}{kind}" for kind in ("map", "seq", "str", "null"))
    } | {None: SafeLoader.yaml_constructors[None]}

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.faults: list[ContractFault] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
                if key.value in seen:
                    self.faults.append(ContractFault(f"duplicate key {key.value!r}", place=_place(key)))
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Return an integer or a float."""
        text = str(node.value)
        if text.startswith(("0o", "0x")):
            return int(text, 0)
        try:
            return int(text) if node.tag == f"{_TAG}int" else float(text)
        except ValueError:
            self.faults.append(ContractFault(f"{text[:20]} is not a number of JSON", place=_place(node)))
            return 0


def _resolve(kind: str, pattern: str, first: str, construct: Callable[[Any, Any], Any] | None = None) -> None:
    CoreLoader.add_implicit_resolver(f"{_TAG}{kind}", re.compile(f"(?:{pattern})$"), list(first))
    if construct:
        CoreLoader.add_constructor(f"{_TAG}{kind}", construct)


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF", lambda _, node: node.value.lower() == "true")
_resolve("null", "~|null|Null|NULL|", "~nN")
_resolve("int", "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789", CoreLoader.construct_number)
_resolve(
    "float",
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "-+0123456789.",
    CoreLoader.construct_number,
)
_resolve("merge", "<<", "<")
CoreLoader.yaml_implicit_resolvers[""] = [(f"{_TAG}null", re.compile("$"))]


def _place(node: yaml.Node) -> str:
    return f"{Path(node.start_mark.name).name}:{node.start_mark.line + 1}"


def read(file: Path) -> Any:
    """Return the value of a YAML or JSON file. Raises ContractError if it is not valid, with all duplicate keys."""
    try:
        value, faults = _json(file) if file.suffix == ".json" else _yaml(file)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        kind = "JSON" if file.suffix == ".json" else "YAML"
        fault = ContractFault(f"not valid {kind}: {_reason(error)}", place=_where(file, error))
        raise ContractError(faults=[fault]) from None
    except OSError as error:
        raise ContractError(faults=[ContractFault(f"cannot be read: {error.strerror}", place=str(file))]) from None
    if faults:
        raise ContractError(faults=faults)
    return value


def _yaml(file: Path) -> tuple[Any, list[ContractFault]]:
    with file.open(encoding="utf-8") as stream:
        loader = CoreLoader(stream)
        try:
            return loader.get_single_data(), loader.faults
        finally:
            loader.dispose()


def _json(file: Path) -> tuple[Any, list[ContractFault]]:
    faults: list[ContractFault] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            repeated = sorted({name for name in names if names.count(name) > 1})
            faults.extend(ContractFault(f"duplicate key {name!r}", place=file.name) for name in repeated)
        return found

    def unknown(text: str) -> None:
        faults.append(ContractFault(f"{text} is not a number of JSON", place=file.name))

    text = file.read_text(encoding="utf-8-sig")
    return json.loads(text, object_pairs_hook=unique, parse_constant=unknown), faults


def _where(file: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else getattr(error, "lineno", None)
    return f"{file.name}:{line}" if line else file.name


def _reason(error: Exception) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "msg", None) or error)
