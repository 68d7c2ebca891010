"""The `default` values of properties, which a body gets if it does not have the properties."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from api.contract.document.model import ContractError
from api.contract.schema.compiler import resolved
from api.contract.schema.keywords import hidden_names, in_place, subschema
from api.contract.schema.memoization import once

NO_DEFAULT = object()


def make_fill(validator: Any) -> Callable[[Any], None] | None:
    """Return the function that adds the defaults of a schema to a valid value, or None if the schema has none.

    The function enters properties, items and `allOf`. It never enters `anyOf`, `oneOf`, `not` and `if`, because these
    may not apply to the value. Raises ContractError if a default does not match its own schema.
    """
    plans: dict[int, _Plan] = {}
    root = resolved(validator)
    pending = [root]
    for part in pending:
        if isinstance(part.schema, dict) and id(part.schema) not in plans:
            plan = plans[id(part.schema)] = _Plan(part)
            pending += plan.parts()
    for plan in plans.values():
        plan.link(plans)
    defaults = [(name, part, default) for plan in plans.values() for name, part, default in plan.members]
    if all(default is NO_DEFAULT for _, _, default in defaults):
        return None
    for name, part, default in defaults:
        _check(name, part, default, plans)
    return plans[id(root.schema)].fill


def _check(name: str, part: Any, default: Any, plans: "dict[int, _Plan]") -> None:
    if default is NO_DEFAULT:
        return
    if not part.is_valid(default):
        raise ContractError(f"the default of the property {name!r} does not match its schema")
    try:
        plans[id(part.schema)].fill(deepcopy(default))
    except RecursionError:
        raise ContractError(f"the default of the property {name!r} contains itself") from None


def default_of(validator: Any) -> Any:
    """Return the default of a schema and those that apply in any case, or NO_DEFAULT."""
    default = next((part.schema["default"] for part in in_place(validator) if "default" in part.schema), NO_DEFAULT)
    # Many documents write null for "absent", also where the schema does not allow it.
    return NO_DEFAULT if default is None and not validator.is_valid(None) else default


class _Plan:
    """The parts of one schema whose values may have defaults."""

    def __init__(self, validator: Any) -> None:
        self.members: list[tuple[str, Any, Any]] = []
        self._others: list[tuple[frozenset[str], Any]] = []
        self._items: list[tuple[slice, Any]] = []
        self._plans: dict[int, _Plan] = {}
        hidden = hidden_names(validator)
        for part in in_place(validator):
            self._read(part, hidden)

    def _read(self, part: Any, hidden: set[str]) -> None:
        schema = part.schema
        for name, inner in schema.get("properties", {}).items():
            if isinstance(inner, dict) and name not in hidden:
                member = subschema(part, inner)
                self.members.append((name, resolved(member), default_of(member)))
        if "patternProperties" not in schema and isinstance(schema.get("additionalProperties"), dict):
            named = frozenset(schema.get("properties", ()))
            self._others.append((named, resolved(subschema(part, schema["additionalProperties"]))))
        first = schema.get("prefixItems", ())
        for index, inner in enumerate(first):
            self._items.append((slice(index, index + 1), resolved(subschema(part, inner))))
        if isinstance(schema.get("items"), dict):
            self._items.append((slice(len(first), None), resolved(subschema(part, schema["items"]))))

    def parts(self) -> Iterator[Any]:
        """Yield the validators of the parts."""
        yield from (part for _, part, _ in self.members)
        yield from (part for _, part in self._others)
        yield from (part for _, part in self._items)

    def link(self, plans: "dict[int, _Plan]") -> None:
        """Find the plans of the parts among those of all schemas."""
        self._plans = {id(part.schema): plans[id(part.schema)] for part in self.parts() if id(part.schema) in plans}

    def fill(self, value: Any) -> None:
        """Add the defaults to a value, in place."""
        if isinstance(value, dict):
            for name, part, default in self.members:
                if name not in value and default is not NO_DEFAULT:
                    value[name] = deepcopy(default)
                if name in value:
                    self._fill_part(part, value[name])
            for named, part in self._others:
                for name in value.keys() - named:
                    self._fill_part(part, value[name])
        elif isinstance(value, list):
            for places, part in self._items:
                for item in value[places]:
                    self._fill_part(part, item)

    def _fill_part(self, part: Any, value: Any) -> None:
        plan = self._plans.get(id(part.schema))
        if plan is not None and isinstance(value, dict | list):
            once(plan, value, lambda: plan.fill(value))
