"""Media types: their kinds, the ranges that contain them, and the choice by the header `Accept`."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from api.contract.document.operation import media_kind

_JSON_LINES = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
# XML and scripts are text as well, but their own syntax or registration defines the charset.
_TEXT = {"application/csv", "application/graphql", "application/x-yaml", "application/yaml"}
# The readers of bodies check these parameters.
_OF_READERS = {"boundary", "charset"}


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


@lru_cache(256)
def essence(media_type: str) -> str:
    """Return a media type in lower case, without its parameters."""
    return media_type.partition(";")[0].strip(" \t").lower()


def is_json(media_type: str) -> bool:
    """Return True for JSON and for formats based on JSON (RFC 6839, section 3.1)."""
    name = essence(media_type)
    return name in {"application/json", "text/json"} or name.endswith("+json")


def is_json_lines(media_type: str) -> bool:
    """Return True for a format with one JSON value in each line."""
    return essence(media_type) in _JSON_LINES


def is_text(media_type: str) -> bool:
    """Return True if the media type is text whose charset is a parameter."""
    name = essence(media_type)
    return name.startswith("text/") or name in _TEXT


def is_range(media_type: str) -> bool:
    """Return True for a range such as `image/*` or `application/*+json`."""
    return "*" in media_type


def find(declared: Iterable[str], media_type: str) -> str | None:
    """Return the declared media type or range that contains this one, the most specific first, or None."""
    name = essence(media_type)
    matching = [other for other in declared if specificity(essence(other), name)]
    # RFC 9110, section 12.5.1: an exact type comes before a range, and a range before */*.
    exact = [other for other in matching if other.replace(" ", "").lower() == media_type.replace(" ", "").lower()]
    return max(exact or matching, key=lambda other: specificity(essence(other), name), default=None)


def find_body(declared: Iterable[str], media: MediaType) -> str | None:
    """Return the declared media type or range of a body, the most specific first, or None.

    The body must have the parameters of that type, and may have others (RFC 2045, section 5).
    """

    def closeness(other: str) -> tuple[int, int]:
        return specificity(essence(other), media.name), len(_own_parameters(other))

    fitting = [other for other in declared if _own_parameters(other) <= media.parameters.items()]
    return max(filter(lambda other: closeness(other)[0], fitting), key=closeness, default=None)


def _own_parameters(media_type: str) -> set[tuple[str, str]]:
    return {(name, value) for name, value in parse(media_type).parameters.items() if name not in _OF_READERS}


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


@lru_cache(256)
def preferred(accept: str | None, declared: Sequence[str]) -> int | None:
    """Return the number of the declared media type that a client prefers (RFC 9110, section 12.5.1).

    Without `Accept`, it is the first. Return None if the client accepts none of them.
    """
    if accept is None or not accept.strip():
        return 0
    # Parameters are ignored: a charset is UTF-8 in any case.
    ranges = MIMEAccept([(essence(name), quality) for name, quality in parse_accept_header(accept, MIMEAccept)])
    qualities = [_quality(essence(name), ranges) for name in declared]
    best = max(qualities, default=0)
    return qualities.index(best) if best > 0 else None


def _quality(declared: str, accepted: MIMEAccept) -> float:
    """Return the quality of a declared media type, or the best one of those in a declared range."""
    inside = [quality for name, quality in accepted if is_range(declared) and specificity(declared, name)]
    return max([accepted.quality(declared), *inside])
