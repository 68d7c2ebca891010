"""The values of one place that are written as texts: parameters, or the properties of a form."""

from collections.abc import Collection, Mapping

from api.contract.document.operation import Json
from api.contract.schema.places import Given, Texts
from api.contract.schema.schemas import Schemas
from api.contract.schema.styles import Extract, Style, StyleFault, deep_steps
from api.contract.schema.texts import Raw, TextReader
from api.errors import Fault

_NUL = "Must not contain a NUL character."
# Reading and validation take up to 25 us for each item, and other requests wait.
_MOST_ITEMS = 1000


class StyledValue:
    """One value that is written as text: a parameter, or a property of a form.

    `names` are those that the contract declares for it: its own, or those of its members if it is exploded.
    """

    def __init__(self, schema: Json, schemas: Schemas, style: Style, pointer: str) -> None:
        self.pointer = pointer
        self.style = style
        self.reader = TextReader(schema, schemas)
        self._extract: Extract = style.extract(self.reader)
        self._spreads = "object" in self.reader.types and style.spreads
        # A value that may also be a text has its own name then.
        own = {style.name} if not self._spreads or len(self.reader.types) > 1 else set()
        self.names = frozenset(own.union(self.reader.names) if self._spreads else own)

    def raw(self, given: Given, faults: list[Fault]) -> list[Raw]:
        """Return the possible readings of the value, or none if it is absent or has been added to `faults`."""
        try:
            found = self._extract(given)
        except StyleFault as fault:
            faults.append(Fault(self.pointer, fault.code, fault.detail))
            return []
        if any(_size(raw) > _MOST_ITEMS for raw in found):
            faults.append(Fault(self.pointer, "TOO_MANY", f"Must have at most {_MOST_ITEMS} items."))
            return []
        if any(map(_has_nul, found)):
            faults.append(Fault(self.pointer, "WRONG_FORMAT", _NUL))
            return []
        return found

    @property
    def takes_others(self) -> bool:
        """True if the object takes the names that the contract does not declare."""
        return self._spreads and self.reader.is_open


def _size(raw: Raw) -> int:
    """Return the number of texts in a value."""
    if isinstance(raw, str):
        return 1
    return sum(map(_size, raw.values() if isinstance(raw, dict) else raw))


def _has_nul(raw: Raw) -> bool:
    if isinstance(raw, str):
        return "\x00" in raw
    parts = [*raw, *raw.values()] if isinstance(raw, dict) else raw
    return any(map(_has_nul, parts))


class StyledValues:
    """The values of one place by name. Each name belongs to one of them, or else to the open objects among them.

    `keys` are declared names whose values are read elsewhere. `names` are all declared names.
    """

    def __init__(self, values: Mapping[str, StyledValue], keys: Collection[str] = ()) -> None:
        self._values = values
        self._deep = [value.style.name for value in values.values() if value.style.style == "deepObject"]
        self.names = frozenset(keys).union(*(value.names for value in values.values()))
        self.takes_others = any(value.takes_others for value in values.values())

    def claims(self, key: str) -> bool:
        """Return True if the contract declares a name, or if it leads into a `deepObject`."""
        return key in self.names or any(deep_steps(name, key) is not None for name in self._deep)

    def with_others(self, given: Given) -> Given:
        """Return the same texts, of which `others` have the names that the contract does not declare."""
        others: Texts = {key: texts for key, texts in given.texts.items() if not self.claims(key)}
        return given._replace(others=others)

    def readings(self, given: Given, faults: list[Fault]) -> tuple[dict[str, list[Raw]], Texts]:
        """Return the possible readings of each value, and the texts that belong to none of them."""
        given = self.with_others(given)
        found = {name: value.raw(given, faults) for name, value in self._values.items()}
        return {name: raw for name, raw in found.items() if raw}, {} if self.takes_others else {**given.others}
