"""The properties of a form that have a style (OpenAPI, Encoding Object)."""

from api.contract.document.operation import Json
from api.contract.schema.fault_text import escaped
from api.contract.schema.parameters import StyledValue, Texts
from api.contract.schema.schemas import Schemas
from api.contract.schema.styles import Given, Style
from api.contract.schema.texts import Raw, TextReader
from api.errors import Fault


def has_style(encoding: Json) -> bool:
    """Return True if a property has a style, which replaces its content type."""
    return bool({"style", "explode", "allowReserved"} & encoding.keys())


def styled(name: str, reader: TextReader, encoding: Json, schemas: Schemas) -> StyledValue:
    """Return the property with the style of its encoding. Raises ContractError if the style is not defined."""
    return StyledValue(reader.schema, schemas, Style.of("body", name, encoding), f"/body/{escaped(name)}")


class StyledProperties:
    """The properties of one form by name."""

    def __init__(self, properties: dict[str, StyledValue]) -> None:
        self._properties = properties
        self.takes_others = any(value.takes_others for value in properties.values())

    def claims(self, key: str) -> bool:
        """Return True if a key belongs to a property."""
        return any(value.claims(key) for value in self._properties.values())

    def readings(self, given: Given, faults: list[Fault]) -> tuple[dict[str, list[Raw]], Texts]:
        """Return the possible readings of each property, and the texts that belong to none of them.

        An open object whose members have names of their own takes the texts without a property.
        """
        others = {key: [*texts] for key, texts in given.texts.items() if not self.claims(key)}
        found = {name: value.raw(_own(given, value, others), faults) for name, value in self._properties.items()}
        return {name: texts for name, texts in found.items() if texts}, {} if self.takes_others else others


def _own(given: Given, value: StyledValue, others: Texts) -> Given:
    if not value.takes_others:
        return given
    named = {key: texts for key, texts in given.texts.items() if value.claims(key)}
    return Given(named | others, given.raw)
