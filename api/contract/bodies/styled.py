"""The styles of the properties of a form (OpenAPI, Encoding Object)."""

from api.contract.document.operation import Json
from api.contract.schema.fault_text import escaped
from api.contract.schema.schemas import Schemas
from api.contract.schema.styled_values import StyledValue
from api.contract.schema.styles import Style
from api.contract.schema.texts import TextReader


def has_style(encoding: Json) -> bool:
    """Return True if a property has a style, which replaces its content type."""
    return bool({"style", "explode", "allowReserved"} & encoding.keys())


def styled(name: str, reader: TextReader, encoding: Json, schemas: Schemas) -> StyledValue:
    """Return the property with the style of its encoding. Raises ContractError if the style is not defined."""
    return StyledValue(reader.schema, schemas, Style.of("body", name, encoding), f"/body/{escaped(name)}")
