"""The styles of parameters: how a list or an object is written as text (OpenAPI, Style Values, and RFC 6570)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from api.contract.document.model import ContractError
from api.contract.schema.places import Given
from api.contract.schema.strict_json import MAX_DEPTH
from api.contract.schema.texts import Raw, TextReader


class StyleFault(Exception):
    """The text does not have the form of its style."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


Extract = Callable[[Given], "list[Raw]"]
"""Returns the possible readings of a value, or none if the value is absent. Raises StyleFault."""

# The styles of each place. The first is the default.
_STYLES = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
    "body": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
}
_DELIMITERS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_UNPAIRED = "Each name must have a value."
# The delimiters of the path, which depend on `explode`.
_EXPLODED = {"label": ".", "matrix": ";"}


class _Piece(NamedTuple):
    """A text and, if it is known, the same text before it was decoded."""

    text: str
    raw: str = ""

    def split(self, delimiter: str, decode: Callable[[str], str]) -> list["_Piece"]:
        """Return the parts. A delimiter inside of a part is encoded (RFC 6570, section 3.2.1)."""
        if delimiter in self.raw:
            return [_Piece(decode(part), part) for part in self.raw.split(delimiter)]
        # Many clients encode the delimiters between the parts as well.
        return [_Piece(part) for part in self.text.split(delimiter)] if self.text else []

    def without(self, prefix: str) -> "_Piece":
        """Return the text after a prefix."""
        raw = self.raw[len(prefix) :] if self.raw.startswith(prefix) else ""
        return _Piece(_without(prefix, self.text), raw)


class Style(NamedTuple):
    """How one parameter is written."""

    place: str
    name: str
    style: str
    explode: bool

    @classmethod
    def of(cls, place: str, name: str, definition: Mapping[str, object]) -> "Style":
        """Return the style of a Parameter Object or an Encoding Object. Raises ContractError if it is not defined."""
        style = str(definition.get("style", _STYLES[place][0]))
        if style not in _STYLES[place]:
            raise ContractError(f"the style {style!r} is not defined for {name!r} in the {place}")
        return cls(place, name, style, bool(definition.get("explode", style == "form")))

    @property
    def spreads(self) -> bool:
        """True if the members of an object are parameters of their own."""
        return self.style == "form" and self.explode

    def extract(self, reader: TextReader) -> Extract:
        """Return the function that finds the value."""
        if self.style == "deepObject":
            return _deep(self.name, reader)
        ways = []
        if reader.is_scalar:
            ways.append(self._text_or_list if reader.is_untyped and self.spreads else self._scalar())
        if "array" in reader.types:
            ways.append(self._list())
        if "object" in reader.types:
            ways.append(_spread(reader) if self.spreads else self._object())
        return ways[0] if len(ways) == 1 else _any_of(ways)

    def _scalar(self) -> Extract:
        text, prefix = self._one, _prefix(self)

        def extract(given: Given) -> list[Raw]:
            return [_without(prefix, value) for value in text(given.texts)]

        return extract

    def _text_or_list(self, given: Given) -> list[Raw]:
        texts = given.texts.get(self.name, [])
        return [[*texts]] if len(texts) > 1 else [*texts]

    def _one(self, texts: Mapping[str, list[str]]) -> list[str]:
        found = texts.get(self.name, [])
        if len(found) > 1:
            raise StyleFault("REPEATED", "Must be given only once.")
        return found

    def _line(self, given: Given) -> list[_Piece]:
        """Return the one text. The lines of a repeated header are one list (RFC 9110, section 5.3)."""
        found = given.texts.get(self.name, [])
        if self.place == "header" and found:
            return [_Piece(",".join(found))]
        return [_Piece(text, *given.raw.get(self.name, [])) for text in self._one(given.texts)]

    def _list(self) -> Extract:
        if self.style in _DELIMITERS and self.explode:
            return lambda given: [[*given.texts[self.name]]] if self.name in given.texts else []
        name = f"{self.name}=" if self.style == "matrix" and self.explode else ""
        return lambda given: [[piece.without(name).text for piece in parts] for parts in self._split(given)]

    def _split(self, given: Given) -> list[list[_Piece]]:
        """Return the parts of the one text."""
        delimiter = (_EXPLODED if self.explode else _DELIMITERS).get(self.style) or _DELIMITERS.get(self.style, ",")
        return [self._trimmed(self._content(piece).split(delimiter, self._decode)) for piece in self._line(given)]

    def _content(self, piece: _Piece) -> _Piece:
        """Return the text of a list or an object without what its style puts before it."""
        if self.style != "matrix" or self.explode:
            return piece.without(_EXPLODED.get(self.style, ""))
        return piece.without(f";{self.name}=")

    def _decode(self, text: str) -> str:
        return unquote(text) if self.place == "path" else unquote_plus(text)

    def _trimmed(self, parts: list[_Piece]) -> list[_Piece]:
        return [_Piece(part.text.strip(" \t")) for part in parts] if self.place == "header" else parts

    def _object(self) -> Extract:
        def extract(given: Given) -> list[Raw]:
            return [self._assigned(parts) if self.explode else _paired(parts) for parts in self._split(given)]

        return extract

    def _assigned(self, parts: list[_Piece]) -> dict[str, Raw]:
        """Return the members from parts such as `R=100`. Only `matrix` leaves out the sign of an empty value."""
        pairs = []
        for part in parts:
            name, *rest = part.split("=", self._decode) or [_Piece("")]
            if not rest and self.style != "matrix":
                raise StyleFault("WRONG_FORMAT", _UNPAIRED)
            pairs.append((name.text, "=".join(piece.text for piece in rest)))
        return _unique(pairs)


def _prefix(style: Style) -> str:
    return {"label": ".", "matrix": f";{style.name}="}.get(style.style, "")


def _without(prefix: str, text: str) -> str:
    if not text.startswith(prefix):
        # RFC 6570, section 3.2.7: an empty value has no equals sign.
        if prefix.endswith("=") and text == prefix[:-1]:
            return ""
        raise StyleFault("WRONG_FORMAT", f"Must begin with {prefix}.")
    return text[len(prefix) :]


def _paired(parts: list[_Piece]) -> dict[str, Raw]:
    if len(parts) % 2:
        raise StyleFault("WRONG_FORMAT", _UNPAIRED)
    texts = [part.text for part in parts]
    return _unique([*zip(texts[::2], texts[1::2], strict=True)])


def _unique(pairs: list[tuple[str, str]]) -> dict[str, Raw]:
    members: dict[str, Raw] = dict(pairs)
    if len(members) < len(pairs):
        raise StyleFault("REPEATED", "Names must be unique within an object.")
    return members


def _spread(reader: TextReader) -> Extract:
    """Return the function for an object whose members are parameters: `R=100&G=200`."""

    def extract(given: Given) -> list[Raw]:
        named = {name: texts for name, texts in given.texts.items() if name in reader.names}
        members = {**named, **given.others} if reader.is_open else named
        found: dict[str, Raw] = {name: _member(reader.member(name), texts) for name, texts in members.items()}
        return [found] if found else []

    return extract


def _member(reader: TextReader, texts: list[str]) -> Raw:
    if "array" in reader.types:
        return [*texts]
    if len(texts) > 1:
        raise StyleFault("REPEATED", "Must be given only once.")
    return texts[0]


def _any_of(ways: list[Extract]) -> Extract:
    """Return the function for a value that may be a text, a list or an object."""

    def extract(given: Given) -> list[Raw]:
        found: list[Raw] = []
        faults = []
        for way in ways:
            try:
                found += way(given)
            except StyleFault as fault:
                faults.append(fault)
        if faults and not found:
            raise faults[0]
        return found

    return extract


def deep_steps(name: str, given: str) -> list[str] | None:
    """Return the steps of a name such as `filter[price][gte]`, or None if it does not belong to the object `name`."""
    if given.startswith(f"{name}[") and given.endswith("]"):
        return given[len(name) + 1 : -1].split("][")
    return None


def _deep(name: str, reader: TextReader) -> Extract:
    """Return the function for `deepObject`. Objects and lists may be nested, as clients write them: `a[b][0]=1`."""

    def extract(given: Given) -> list[Raw]:
        tree: dict[str, Raw] = {}
        for key, texts in given.texts.items():
            steps = deep_steps(name, key)
            if steps is not None:
                _plant(tree, steps, texts)
        whole = given.texts.get(name, [])
        if len(whole) + bool(tree) > 1:
            raise StyleFault("REPEATED", "Must be given only once.")
        return [_list_or_object(tree, reader)] if tree else [*whole]

    return extract


def _plant(tree: dict[str, Raw], steps: list[str], texts: list[str]) -> None:
    if len(steps) > MAX_DEPTH:
        raise StyleFault("WRONG_FORMAT", f"Must not be nested deeper than {MAX_DEPTH} levels.")
    for step in steps[:-1]:
        inner = tree.setdefault(step, {})
        if not isinstance(inner, dict):
            raise StyleFault("REPEATED", "Names must be unique within an object.")
        tree = inner
    last = steps[-1]
    if last in tree:
        raise StyleFault("REPEATED", "Names must be unique within an object.")
    tree[last] = [*texts] if len(texts) > 1 or not last else texts[0]


def _list_or_object(raw: Raw, reader: TextReader) -> Raw:
    """Return the value with the lists that the schema allows: their names are numbers, or empty."""
    if isinstance(raw, str) or (isinstance(raw, list) and "array" in reader.types):
        return raw
    if isinstance(raw, list):
        raise StyleFault("REPEATED", "Must be given only once.")
    if "array" in reader.types and isinstance(raw.get(""), list) and len(raw) == 1:
        return raw[""]
    numbers = [str(number) for number in range(len(raw))]
    if "array" in reader.types and raw.keys() == {*numbers}:
        return [_list_or_object(raw[text], reader.item(number)) for number, text in enumerate(numbers)]
    return {name: _list_or_object(part, reader.member(name)) for name, part in raw.items()}
