"""Read the files of a contract: YAML 1.2 with the core schema, and JSON."""

import re
from collections.abc import Callable
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from api.contract.document import json_text
from api.contract.document.faults import ContractError, ContractFault
from api.contract.document.json_text import MAX_DEPTH, TOO_DEEP

try:
    # libyaml needs an eighth of the time. The wheels of PyYAML include it.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

SUFFIXES = (".yaml", ".yml", ".json")
_TAG = "tag:yaml.org,2002:"
_FEW_VALUES = 10_000


class CoreLoader(SafeLoader):
    """A loader for YAML 1.2 (section 10.3, core schema). PyYAML reads YAML 1.1, in which `NO` is false.

    Keys are always strings, as OpenAPI requires, and must be unique. `<<` merges mappings, as in YAML 1.1.
    """

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as PyYAML declares it
    yaml_constructors = {
        name: SafeLoader.yaml_constructors[name] for name in (f"{_TAG}{kind}" for kind in ("map", "seq", "str", "null"))
    } | {None: SafeLoader.yaml_constructors[None]}

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.faults: list[ContractFault] = []
        self._name = name
        self._depth = 0
        # The most values that a document may have after its aliases are expanded.
        self._most = max(len(text), _FEW_VALUES)

    def descend_resolver(self, current_node: yaml.Node | None, current_index: Any) -> None:
        """Count the levels while libyaml recurses, because 100,000 of them end the process."""
        self._depth += 1
        if self._depth > MAX_DEPTH and current_node is not None:
            raise self._fault(TOO_DEEP, current_node)

    def ascend_resolver(self) -> None:
        """Leave a level."""
        self._depth -= 1

    def get_single_node(self) -> yaml.Node | None:
        """Return the root. Raises ContractError if aliases make the document infinite, too deep or too large."""
        root: yaml.Node | None = super().get_single_node()
        if isinstance(root, yaml.CollectionNode):
            self._measure(root, {})
        return root

    def _measure(self, node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
        """Return the number of values in a node and its depth, with expanded aliases."""
        measured = known.setdefault(id(node), None)
        if measured is not None:
            return measured
        size, depth = 1, 0
        for part in node.value if isinstance(node, yaml.SequenceNode) else chain.from_iterable(node.value):
            if isinstance(part, yaml.ScalarNode):
                size += 1
                continue
            if id(part) in known and known[id(part)] is None:
                raise self._fault("an alias must not be inside the value that it repeats", part)
            inner, levels = self._measure(part, known)
            size, depth = size + inner, max(depth, levels)
        if size > self._most:
            raise self._fault(f"the aliases must not repeat more than {self._most} values", node)
        if depth >= MAX_DEPTH:
            raise self._fault(TOO_DEEP, node)
        known[id(node)] = size, depth + 1
        return size, depth + 1

    def _fault(self, message: str, node: yaml.Node) -> ContractError:
        return ContractError(faults=[ContractFault(message, place=self._place(node))])

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
                if key.value in seen:
                    self.faults.append(ContractFault(f"duplicate key {key.value!r}", place=self._place(key)))
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Return an integer or a float."""
        text = str(self.construct_scalar(node))
        try:
            is_integer = node.tag == f"{_TAG}int"
            number = int(text, 0 if text.startswith(("0o", "0x")) else 10) if is_integer else float(text)
            if isfinite(number):
                return number
        except (OverflowError, ValueError):
            pass
        self.faults.append(ContractFault(json_text.wrong_number(text), place=self._place(node)))
        return 0

    def construct_boolean(self, node: yaml.ScalarNode) -> bool:
        """Return True or False."""
        text = str(self.construct_scalar(node)).lower()
        if text not in {"true", "false"}:
            self.faults.append(ContractFault(f"{text[:20]!r} must be true or false", place=self._place(node)))
        return text == "true"


def _resolve(kind: str, pattern: str, first: str, construct: Callable[[Any, Any], Any] | None = None) -> None:
    CoreLoader.add_implicit_resolver(f"{_TAG}{kind}", re.compile(f"(?:{pattern})$"), list(first))
    if construct:
        CoreLoader.add_constructor(f"{_TAG}{kind}", construct)


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF", CoreLoader.construct_boolean)
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


def read(file: Path) -> Any:
    """Return the value of a YAML or JSON file. Raises ContractError if it is not valid, with all duplicate keys."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        value, faults = json_text.parse(text, file.name) if file.suffix == ".json" else _yaml(text, file.name)
    except OSError as error:
        raise ContractError(faults=[ContractFault(f"cannot be read: {error.strerror}", place=str(file))]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ContractError(faults=[ContractFault("not valid UTF-8", place=f"{file.name}:{line}")]) from None
    if faults:
        raise ContractError(faults=faults)
    return value


def compose(file: Path) -> yaml.Node | None:
    """Return the root of a YAML file, whose nodes know their lines."""
    loader = CoreLoader(file.read_text(encoding="utf-8-sig"), file.name)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _yaml(text: str, name: str) -> tuple[Any, list[ContractFault]]:
    try:
        loader = CoreLoader(text, name)
        try:
            return loader.get_single_data(), loader.faults
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        fault = ContractFault(f"not valid YAML: {_reason(error)}", place=f"{name}:{_line(error, text)}")
        raise ContractError(faults=[fault]) from None


def _line(error: yaml.YAMLError, text: str) -> int:
    if isinstance(error, yaml.reader.ReaderError):
        # libyaml counts bytes.
        return text.encode()[: error.position].count(b"\n") + 1
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return str(error.reason)
    return str(getattr(error, "problem", None) or error).removeprefix("but ")
