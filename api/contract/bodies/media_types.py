"""Media types, and which ranges of the contract they match."""

from functools import lru_cache
from typing import NamedTuple

from werkzeug.http import parse_options_header

from api.contract.document.operation import media_kind


class MediaType(NamedTuple):
    """A media type in lower case, and its parameters."""

    name: str
    parameters: dict[str, str]

    @property
    def kind(self) -> str:
        """How bodies of the type are read: `json`, `form`, `multipart`, `text` or `file`."""
        return media_kind(self.name)

    @property
    def is_utf8(self) -> bool:
        """True if texts of the type are UTF-8."""
        # The name without a hyphen is not registered, but common.
        return self.parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8", "us-ascii"}


@lru_cache(256)
def parse(text: str) -> MediaType:
    """Return the media type of a `Content-Type`."""
    name, parameters = parse_options_header(text)
    return MediaType(name.lower(), parameters)


def specificity(pattern: str, name: str) -> int:
    """Return how closely a range such as `text/*` matches a media type. 0 is not at all."""
    if pattern == name:
        return 4
    kind, _, subtype = pattern.partition("/")
    given, _, rest = name.partition("/")
    if not kind or kind not in {given, "*"} or "/" not in name:
        return 0
    if subtype.startswith("*+"):
        return 3 if rest.endswith(subtype[1:]) else 0
    return {"*": 1 if kind == "*" else 2}.get(subtype, 0)
