"""Bodies of the type `application/x-www-form-urlencoded`."""

from collections.abc import Iterator
from typing import Any

from api.contract.bodies.simple import decoded, parsed
from api.contract.bodies.styled import has_style, styled
from api.contract.document.operation import Json
from api.contract.schema.fault_text import escaped, pointer_inside
from api.contract.schema.media_types import parse
from api.contract.schema.places import Given, read_pairs
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.styled_values import StyledValue, StyledValues
from api.contract.schema.styles import Style
from api.contract.schema.texts import Raw, TextReader
from api.errors import BodyTooLarge, Fault

# Reading takes time for each pair and each property.
_MOST_PAIRS = 1000


class FormBody:
    """A form, whose properties have the styles of their `encoding`."""

    def __init__(self, content: Json, schemas: Schemas) -> None:
        schema = content.get("schema", {})
        self._validator = schemas.request_validator(schema)
        self._reader = reader = TextReader(schema, schemas)
        encoding = content.get("encoding", {})
        self._properties = StyledValues(
            {name: _property(name, reader.member(name), encoding.get(name, {}), schemas) for name in reader.names}
        )
        self._json = [name for name in reader.names if _kinds(encoding.get(name, {})) == {"json"}]

    def read(self, body: bytes, faults: list[Fault]) -> Any:
        """Return the properties by name, and append their faults. Raises BodyTooLarge if there are too many pairs."""
        if body.count(b"&") >= _MOST_PAIRS:
            raise BodyTooLarge(_MOST_PAIRS, "pairs")
        text = decoded(body, "/body", faults)
        if text is None:
            return None
        given = read_pairs(text, "/body")
        count = len(faults)
        readings = self._readings(given, faults)
        values = {
            name: parsed(str(readings.pop(name)[0]).encode(), f"/body/{escaped(name)}", faults)
            for name in self._json
            if name in readings
        }
        return None if len(faults) > count else self._best(readings, values, faults)

    def _best(self, readings: dict[str, list[Raw]], values: Json, faults: list[Fault]) -> Any:
        """Return the first valid form, or None with the faults of the first one.

        An alternative of the whole schema may need a string where another one has a number.
        """
        form = _form(self._reader, readings) | values
        errors = self._validator.errors(form)
        if not errors:
            return self._validator.filled(form)
        for other in self._others(readings, values):
            if other != form and self._validator.is_valid(other):
                return self._validator.filled(other)
        faults += faults_of(errors, "/body")
        return None

    def _others(self, readings: dict[str, list[Raw]], values: Json) -> Iterator[Json]:
        """Yield the forms that the texts may also mean."""
        yield _form(self._reader, readings, plain=True) | values
        for alternative in self._reader.alternatives:
            form = _form(alternative, readings) | values
            if alternative.validator.is_valid(form):
                yield form

    def _readings(self, given: Given, faults: list[Fault]) -> dict[str, list[Raw]]:
        members, others = self._properties.readings(given, faults)
        for name, texts in others.items():
            if name in members:
                faults.append(Fault(pointer_inside("/body", [name]), "REPEATED", "Must be given only once."))
            members[name] = [*texts, [*texts]] if len(texts) == 1 else [[*texts]]
        return members


def _form(reader: TextReader, readings: dict[str, list[Raw]], *, plain: bool = False) -> Json:
    return {name: reader.member(name).best(texts, plain=plain).value for name, texts in readings.items()}


def _kinds(encoding: Json) -> set[str]:
    """Return the kinds of the content types of a property."""
    types = "" if has_style(encoding) else encoding.get("contentType", "")
    return {parse(part.strip()).kind for part in filter(None, types.split(","))}


def _property(name: str, reader: TextReader, encoding: Json, schemas: Schemas) -> StyledValue:
    if "json" in _kinds(encoding) or ("object" in reader.types and not has_style(encoding)):
        # Without a style, the text of an object is JSON (Encoding Object, contentType).
        return StyledValue({"type": "string"}, schemas, Style("body", name, "form", False), f"/body/{escaped(name)}")
    return styled(name, reader, encoding, schemas)
