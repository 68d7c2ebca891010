"""Find the schemas that apply to a value, through `$ref`, `allOf`, and the keywords whose branch depends on the value.

`anyOf`, `oneOf`, `if` and `dependentSchemas` may choose other branches for other values. A branch matches if the part
of the value that the branch names is valid in it, because a row may have members that the contract does not name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from api.contract.document.operation import Json
from api.contract.document.version import is_3_1
from api.contract.schema.json_values import NotSerializable
from api.contract.schema.schemas import Schemas

Pieces = list[Json]
"""Schemas that all apply to one value. Their own `$ref` and `allOf` are among them."""

_CHOICES = ("oneOf", "anyOf")
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_MISSING = object()


class Composition:
    """The composed schemas of one document. `shape_of` returns the serializer of a value with the given schemas."""

    def __init__(self, schemas: Schemas, shape_of: Callable[[Pieces], Callable[[Any], Any]]) -> None:
        self._schemas = schemas
        self._shape_of = shape_of
        self._shortened: dict[int, Json] = {}
        # OpenAPI 3.0 ignores all keywords beside a $ref.
        self._has_siblings = is_3_1(schemas.document)

    def expand(self, schemas: Iterable[Any]) -> Pieces:
        """Return the schemas with their references and the parts of `allOf`, each once."""
        waiting = list(schemas)
        pieces: Pieces = []
        seen: set[int] = set()
        for schema in waiting:
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            references = [schema[name] for name in ("$ref", "$dynamicRef") if name in schema]
            waiting += [self._schemas.lookup(reference) for reference in references]
            if not references or (self._has_siblings and len(schema) > len(references)):
                pieces.append(schema)
                waiting += schema.get("allOf", ())
                waiting += [only for name in _CHOICES if (only := self._sole(schema, name)) is not None]
        return pieces

    def applied(self, piece: Json, pieces: Pieces) -> Pieces:
        """Return a piece and those that apply because of it, whose annotations its `unevaluated` keywords see."""
        known = {id(other): other for other in pieces}
        found = [piece]
        seen = {id(piece)}
        for part in found:
            for branch in self.expand(_branches(part)):
                if id(branch) in known and id(branch) not in seen:
                    seen.add(id(branch))
                    found.append(branch)
        return found

    def varies(self, pieces: Pieces) -> bool:
        """Return True if the schemas of a value depend on the value."""
        return any(self._varies(piece) for piece in pieces)

    def _varies(self, piece: Json) -> bool:
        if {"if", "dependentSchemas", "discriminator"} & piece.keys():
            return True
        return any(name in piece and self._sole(piece, name) is None for name in _CHOICES)

    def settle(self, pieces: Pieces, value: Any, around: Pieces | None = None) -> Pieces:
        """Return the schemas with the branches that this value chooses. `around` are schemas whose branches are open.

        Raises NotSerializable if the value matches no branch.
        """
        settled, around = list(pieces), around or []
        seen = {id(piece) for piece in [*around, *settled]}
        for piece in settled:
            for branch in self._chosen(piece, [*around, *settled], value):
                added = [new for new in self.expand([branch]) if id(new) not in seen]
                seen |= {id(new) for new in added}
                settled += added
        return settled

    def allows_null(self, schemas: Iterable[Any]) -> bool:
        """Return True if null is valid in all schemas."""
        return all(self._is_nullable(schema, {}) for schema in schemas)

    def is_write_only(self, schemas: Iterable[Any]) -> bool:
        """Return True if a schema is for requests only."""
        return any(piece.get("writeOnly") is True for piece in self.expand(schemas))

    def _is_nullable(self, schema: Any, known: dict[int, bool]) -> bool:
        if not isinstance(schema, dict):
            return schema is not False
        if id(schema) not in known:
            known[id(schema)] = True
            known[id(schema)] = self._allows_null(schema, known)
        return known[id(schema)]

    def _allows_null(self, schema: Json, known: dict[int, bool]) -> bool:
        if "$ref" in schema and not self._is_nullable(self._schemas.lookup(schema["$ref"]), known):
            return False
        if "$ref" in schema and not self._has_siblings:
            return True
        if not all(self._is_nullable(part, known) for part in schema.get("allOf", ())):
            return False
        choices = [schema[name] for name in _CHOICES if name in schema]
        if not all(any(self._is_nullable(part, known) for part in parts) for parts in choices):
            return False
        return schema.get("nullable") is True or _names_null(schema)

    def _sole(self, schema: Json, keyword: str) -> Any:
        """Return the only branch of a keyword beside null, or None."""
        branches = [branch for branch in schema.get(keyword, ()) if not _is_null(branch)]
        return branches[0] if len(branches) == 1 and "discriminator" not in schema else None

    def _chosen(self, piece: Json, around: Pieces, value: Any) -> Iterator[Any]:
        named = self._named(piece, value) if "discriminator" in piece else None
        if named is not None:
            yield named
        for keyword in _CHOICES if named is None else ():
            if keyword in piece and self._sole(piece, keyword) is None:
                yield from self._matching(piece[keyword], keyword, around, value)
        if "if" in piece:
            size = self._match(piece["if"], around, value)
            yield from (piece.get("else"),) if size is None else (piece["if"], piece.get("then"))
        for name, schema in piece.get("dependentSchemas", {}).items():
            if member_of(value, name) is not _MISSING:
                yield schema

    def _matching(self, branches: list[Any], keyword: str, around: Pieces, value: Any) -> list[Any]:
        sizes = [(self._match(branch, around, value), branch) for branch in branches]
        matching = [(size, branch) for size, branch in sizes if size is not None]
        if not matching:
            raise NotSerializable(f"the value matches no schema of {keyword}")
        if keyword == "anyOf":
            return [branch for _, branch in matching]
        # Undeclared members do not count, so several branches may match: the one that keeps the most is meant.
        return [max(matching, key=lambda match: match[0])[1]]

    def _match(self, branch: Any, around: Pieces, value: Any) -> int | None:
        """Return the number of members that a branch keeps, or None if the value does not match the branch."""
        if branch is False:
            return None
        known = {id(piece) for piece in around}
        own = [piece for piece in self.expand([branch]) if id(piece) not in known]
        kept = self._kept(own, around, value)
        if kept is None:
            # Another branch may evaluate the members that this one does not.
            kept = self._kept(own, list(map(self._without_unevaluated, around)), value)
        if kept is None:
            return None
        return _size(kept[0]) if branch is True or self._schemas.response_validator(branch).accepts(kept[0]) else None

    def _kept(self, own: Pieces, around: Pieces, value: Any) -> tuple[Any] | None:
        """Return the part of a value that the schemas name, or None if it does not match them."""
        try:
            return (self._shape_of([*around, *self.settle(own, value, around)])(value),)
        except NotSerializable:
            return None

    def _without_unevaluated(self, piece: Json) -> Json:
        if _UNEVALUATED.isdisjoint(piece):
            return piece
        if id(piece) not in self._shortened:
            short = {name: part for name, part in piece.items() if name not in _UNEVALUATED}
            # The address is unique, because the document holds the schema.
            self._shortened[id(piece)] = short
        return self._shortened[id(piece)]

    def _named(self, piece: Json, value: Any) -> Any:
        """Return the schema that the discriminator names, or None."""
        discriminator = piece["discriminator"]
        name = member_of(value, discriminator["propertyName"])
        name = str(name.value if isinstance(name, Enum) else name)
        components = self._schemas.document.get("components", {}).get("schemas", {})
        target = discriminator.get("mapping", {}).get(name, name)
        found = self._schemas.lookup(target) if target.startswith("#/") else components.get(target)
        branches = [branch for keyword in _CHOICES for branch in piece.get(keyword, ())]
        if branches:
            return next((branch for branch in branches if self._target(branch) is found), None)
        # Without branches, the schemas that extend this one are meant.
        return found if found is not None and any(part is piece for part in self.expand([found])) else None

    def _target(self, branch: Any) -> Any:
        return self._schemas.lookup(branch["$ref"]) if "$ref" in branch else branch


def _branches(piece: Json) -> Iterator[Any]:
    """Yield the schemas that a piece applies to the same value, apart from its discriminator."""
    for name in ("allOf", *_CHOICES):
        yield from piece.get(name, ())
    yield from (piece[name] for name in ("if", "then", "else") if name in piece)
    yield from piece.get("dependentSchemas", {}).values()
    yield from ({"$ref": piece[name]} for name in ("$ref", "$dynamicRef") if name in piece)


def member_of(value: Any, name: str) -> Any:
    """Return a member of a mapping, a row or a dataclass, or an object that stands for a missing one."""
    if isinstance(value, Mapping):
        return value.get(name, _MISSING)
    member = getattr(value, name, _MISSING)
    return _MISSING if member is None else member


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("type") == "null" or schema.get("enum") == [None])


def _names_null(schema: Json) -> bool:
    types = schema.get("type", "null")
    return "null" in ([types] if isinstance(types, str) else types) and None in schema.get("enum", [None])


def _size(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(parts) + sum(map(_size, parts))
