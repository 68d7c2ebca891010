"""A compiler from JSON Schema to Python functions, for validation in 4 microseconds where jsonschema takes 500.

The two times are for an order of three items. A compiled test accepts valid values only. If a test rejects a value,
jsonschema decides. A schema with a keyword that the compiler does not support is left to jsonschema. Both validators
use the same patterns, formats and comparisons.

Each schema becomes a single function, because a call for each value would cost more than its check. Only a large schema
calls the functions of the schemas that it refers to. Names and values from the contract are passed as constants, never
interpolated into the generated code.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import CodeType
from typing import Any

from api.contract.document.operation import Json
from api.contract.schema.building import Building
from api.contract.schema.formats import TypedFormat
from api.contract.schema.keywords import are_unique, hidden_names, identity_of, is_hidden, is_multiple, target
from api.contract.schema.memoization import once
from api.contract.schema.patterns import compile_pattern

Predicate = Callable[[Any], bool]
"""Returns True if a value fits a schema."""
Lines = list[str]

# Python rejects more than 20 nested loops.
_DEEPEST = 8
_MOST_CONSTANTS = 100
_PARTS = {"$ref", "additionalProperties", "allOf", "anyOf", "items", "not", "oneOf", "properties"}


class Compiler:
    """The tests of one document and of one direction, each compiled once."""

    def __init__(self) -> None:
        # An address is unique as long as its object exists.
        self._made: dict[int, tuple[Any, Predicate]] = {}
        self._building = Building()

    def predicate(self, validator: Any) -> Predicate:
        """Return a test that accepts exactly the values that the jsonschema `validator` accepts."""
        validator = resolved(validator)
        if not _is_supported(validator):
            return validator.is_valid  # type: ignore[no-any-return]
        schema = validator.schema
        inner = _Inner()

        def build() -> None:
            names: dict[str, Any] = {}
            body = _Emitter(self, validator, 0, names).lines()
            exec(_compiled("\n".join(["def test(v0):", *_indented(body), " return True"])), names)  # noqa: S102 - see above
            inner.test = names["test"]
            self._made[id(schema)] = schema, inner.test

        with self._building.lock:
            if id(schema) not in self._made:
                self._made[id(schema)] = schema, inner
                self._building.run(build)
            return self._made[id(schema)][1]


class _Inner:
    """The test of a schema inside itself. The test of the whole schema does not exist yet."""

    test: Predicate

    def __call__(self, value: Any) -> bool:
        return once(id(self), value, lambda: self.test(value))


@cache
def _compiled(source: str) -> CodeType:
    return compile(source, "<quick test>", "exec")


def _indented(lines: Lines) -> Lines:
    return [f" {line}" for line in lines]


def _unless(*conditions: str) -> Lines:
    return [f"if not ({' and '.join(conditions)}): return False"] if conditions else []


class _Emitter:
    """A schema and the Python code that checks it. In the code, `v0` is the value, `v1` is inside it, and so on."""

    def __init__(self, compiler: Compiler, exact: Any, depth: int, names: dict[str, Any]) -> None:
        self.validator = resolved(exact)
        self.schema = self.validator.schema
        self.value, self.inner = f"v{depth}", f"v{depth + 1}"
        self._compiler, self._depth, self._names = compiler, depth, names
        # Shared schemas become functions of their own when this one is large.
        is_large = len(names) > _MOST_CONSTANTS
        self._is_apart = is_large and self.validator is not exact and _has_parts(self.schema)

    def lines(self) -> Lines:
        schema = self.schema
        if schema is True or schema is False:
            return [] if schema else ["return False"]
        if self._is_apart or self._depth == _DEEPEST or not _is_supported(self.validator):
            return self._test(self.validator)
        has_const = "const" in schema and "const" in self.validator.VALIDATORS
        enumerations = [[schema["const"]]] if has_const else []
        if "enum" in schema:
            enumerations.append(schema["enum"])
        for values in enumerations:
            if (texts := self._texts(values)) is not None:
                return texts
        listed = [line for values in enumerations for line in self._listed(values)]
        return [*listed, *self._combined(), *_typed(self)]

    def _texts(self, values: list[Any]) -> Lines | None:
        """Return the test of an enumeration of texts. They are checked against the other keywords when compiling."""
        if not all(isinstance(value, str) for value in values if value is not None):
            return None
        taken = frozenset(value for value in values if self.validator.is_valid(value))
        kinds = [f"type({self.value}) is str", *([f"{self.value} is None"] if None in taken else [])]
        return _unless(f"({' or '.join(kinds)})", f"{self.value} in {self.constant(taken)}")

    def _listed(self, values: list[Any]) -> Lines:
        taken = frozenset(map(identity_of, values))
        return _unless(f"{self.constant(identity_of)}({self.value}) in {self.constant(taken)}")

    def _combined(self) -> Lines:
        """Return the tests of the keywords that combine schemas for the same value."""
        schema = self.schema
        if "$ref" in schema and dict(self.validator.APPLICABLE(schema)).keys() != {"$ref"}:
            own = self._test(target(self.validator, schema["$ref"]))
        else:
            own = []
        for part in schema.get("allOf", ()):
            own += self._same(part)
        if "anyOf" in schema:
            own += _unless(f"({' or '.join(map(self._call, schema['anyOf']))})")
        if "oneOf" in schema:
            own += _unless(f"{' + '.join(map(self._call, schema['oneOf']))} == 1")
        if "not" in schema:
            own += _unless(f"not {self._call(schema['not'])}")
        return own

    def _part(self, schema: Any) -> Any:
        return self.validator.evolve(schema=schema)

    def _same(self, schema: Any) -> Lines:
        return _Emitter(self._compiler, self._part(schema), self._depth, self._names).lines()

    def _test(self, validator: Any) -> Lines:
        return _unless(f"{self.constant(self._compiler.predicate(validator))}({self.value})")

    def _call(self, schema: Any) -> str:
        return f"{self.constant(self._compiler.predicate(self._part(schema)))}({self.value})"

    def inside(self, schema: Any) -> Lines:
        return _Emitter(self._compiler, self._part(schema), self._depth + 1, self._names).lines()

    def constant(self, value: Any) -> str:
        self._names[name := f"c{len(self._names)}"] = value
        return name

    def between(self, least: Any, what: str, most: Any) -> Lines:
        floor = "" if least is None else f"{self.constant(least)} <= "
        ceiling = "" if most is None else f" <= {self.constant(most)}"
        return [f"{floor}{what}{ceiling}"] if floor or ceiling else []

    def format(self, kind: str) -> TypedFormat | None:
        """Return the check of the schema's format for a kind of values, or None without one."""
        check = self.validator.format_checker.checkers.get(self.schema.get("format"), [None])[0]
        return check if check is not None and check.concerns(kind) else None


def _typed(part: _Emitter) -> Lines:
    """Return the tests of `type` and of the keywords for one type."""
    kinds, value = _types_of(part), part.value
    if kinds is None:
        return [line for kind, write in _WRITERS.items() for line in _if_kind(part, kind, write(part))]
    others = [kind for kind in kinds if kind != "null"]
    if len(others) == 1:
        lines = _unless(_test(part, others[0])) + _writer(others[0])(part)
    else:
        tests = [_test(part, kind) for kind in others]
        lines = _unless(f"({' or '.join(tests)})") if tests else ["return False"]
        for kind in dict.fromkeys("number" if kind == "integer" else kind for kind in others):
            lines += _if_kind(part, kind, _writer(kind)(part))
    return [f"if {value} is not None:", *_indented(lines)] if "null" in kinds else lines


def _writer(kind: str) -> Callable[[_Emitter], Lines]:
    return _WRITERS.get("number" if kind == "integer" else kind, lambda _: [])


def _if_kind(part: _Emitter, kind: str, block: Lines) -> Lines:
    return [f"if {_test(part, kind)}:", *_indented(block)] if block else []


def _types_of(part: _Emitter) -> list[str] | None:
    """Return the types of a schema, or None if it has values of all types."""
    if "type" not in part.schema:
        return None
    names = part.schema["type"]
    kinds = [names] if isinstance(names, str) else list(names)
    nullable = part.validator.NULLABLE and part.schema.get("nullable") is True
    return [*kinds, "null"] if nullable else kinds


def _test(part: _Emitter, kind: str) -> str:
    value = part.value
    if kind == "integer" and part.validator.is_type(1.0, "integer"):
        return f"(type({value}) is int or (type({value}) is float and {value}.is_integer()))"
    if kind == "number":
        return f"type({value}) in {part.constant({int, float})}"
    return f"type({value}) is {_PYTHON[kind]}"


def _string(part: _Emitter) -> Lines:
    sized = part.between(part.schema.get("minLength"), f"len({part.value})", part.schema.get("maxLength"))
    pattern, form = part.schema.get("pattern"), part.format("string")
    matches = [] if pattern is None else [f"{part.constant(compile_pattern(pattern))}({part.value})"]
    # The format comes last: checking it on a text that is too long may take a second.
    formatted = [] if form is None else [f"{part.constant(form.accepts)}({part.value})"]
    return _unless(*sized, *matches, *formatted)


def _number(part: _Emitter) -> Lines:
    schema, form = part.schema, part.format("number")
    tests = part.between(schema.get("minimum"), part.value, schema.get("maximum"))
    for keyword, sign in (("exclusiveMinimum", ">"), ("exclusiveMaximum", "<")):
        bound = schema.get(keyword)
        if keyword not in part.validator.VALIDATORS:
            # OpenAPI 3.0: a flag that belongs to the other bound.
            bound = schema.get(keyword.replace("exclusiveM", "m")) if bound else None
        tests += [] if bound is None else [f"{part.value} {sign} {part.constant(bound)}"]
    if "multipleOf" in schema:
        tests.append(f"{part.constant(is_multiple)}({part.value}, {part.constant(schema['multipleOf'])})")
    # A format may be implied: an integer between two int32 bounds is an int32.
    if form is not None and not _is_narrower(part, form):
        is_integer = schema.get("type") == "integer" and not part.validator.is_type(1.0, "integer")
        tests.append(f"{part.constant(form.accepts if is_integer else form)}({part.value})")
    return _unless(*tests)


def _is_narrower(part: _Emitter, form: TypedFormat) -> bool:
    held = getattr(form.accepts, "__self__", None)
    if not isinstance(held, range) or held.step != 1 or form.accepts != held.__contains__:
        return False
    bounds = [part.schema.get("minimum"), part.schema.get("maximum")]
    # Only for int bounds: Python searches a range number by number for a float.
    return part.schema.get("type") == "integer" and all(type(bound) is int and bound in held for bound in bounds)


def _array(part: _Emitter) -> Lines:
    lines = _unless(*part.between(part.schema.get("minItems"), f"len({part.value})", part.schema.get("maxItems")))
    if part.schema.get("uniqueItems"):
        lines += _unless(f"{part.constant(are_unique)}({part.value})")
    item = part.inside(part.schema.get("items", True))
    return lines + ([f"for {part.inner} in {part.value}:", *_indented(item)] if item else [])


def _object(part: _Emitter) -> Lines:
    schema, hidden = part.schema, hidden_names(part.validator)
    parts, required = schema.get("properties", {}), set(schema.get("required", ())) - hidden
    lines = _unless(*part.between(schema.get("minProperties"), f"len({part.value})", schema.get("maxProperties")))
    for name in dict.fromkeys([*parts, *schema.get("required", ())]):
        key = part.constant(name)
        if name in parts and is_hidden(part.validator, parts[name]):
            lines.append(f"if {key} in {part.value}: return False")
            continue
        member = part.inside(parts.get(name, True))
        read = [f"{part.inner} = {part.value}[{key}]", *member] if member else []
        if name in required:
            lines += [*_unless(f"{key} in {part.value}"), *read]
        elif read:
            lines += [f"if {key} in {part.value}:", *_indented(read)]
    return lines + _others(part, part.constant(frozenset(parts)))


def _others(part: _Emitter, known: str) -> Lines:
    schema = part.schema.get("additionalProperties", True)
    if schema is False:
        return _unless(f"{known}.issuperset({part.value})")
    other = part.inside(schema)
    read = [f"if name not in {known}:", f" {part.inner} = {part.value}[name]", *_indented(other)]
    return [f"for name in {part.value}:", *_indented(read)] if other else []


_WRITERS: Mapping[str, Callable[[_Emitter], Lines]] = {
    "array": _array,
    "number": _number,
    "object": _object,
    "string": _string,
}
_PYTHON = {"array": "list", "boolean": "bool", "integer": "int", "null": "None", "object": "dict", "string": "str"}
_SUPPORTED = frozenset(
    {
        *("$ref", "allOf", "anyOf", "const", "enum", "format", "not", "oneOf", "type"),
        *("additionalProperties", "maxProperties", "minProperties", "properties", "required"),
        *("items", "maxItems", "minItems", "uniqueItems"),
        *("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"),
        *("maxLength", "minLength", "pattern"),
    }
)


def _has_parts(schema: Any) -> bool:
    return isinstance(schema, dict) and not _PARTS.isdisjoint(schema)


def resolved(validator: Any) -> Any:
    """Return the validator of the schema that a `$ref` without other keywords refers to, or the validator itself."""
    while isinstance(validator.schema, dict) and "$ref" in validator.schema and _keywords(validator) == {"$ref"}:
        validator = target(validator, validator.schema["$ref"])
    return validator


def _keywords(validator: Any) -> set[str]:
    applicable: Json = dict(validator.APPLICABLE(validator.schema))
    return {name for name in applicable if name in validator.VALIDATORS}


def _is_supported(validator: Any) -> bool:
    if isinstance(validator.schema, bool):
        return True
    if not _keywords(validator) <= _SUPPORTED or isinstance(validator.schema.get("items"), list):
        return False
    if "$id" in validator.schema:
        return False
    # A part of `allOf` may require a property that another part hides.
    return "allOf" not in validator.schema or not hidden_names(validator)
