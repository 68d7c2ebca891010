"""The texts of a request by name, as each place has them: the path, the query, headers, cookies and forms."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote_plus

from starlette.types import Scope
from werkzeug.sansio.http import parse_cookie

from api.errors import Fault, InvalidInput

Texts = dict[str, list[str]]


class Given(NamedTuple):
    """The texts of one place by name. `raw` has those of the path, the query and forms before they were decoded.

    `others` are the texts for open objects: those whose names the contract does not declare.
    """

    texts: Mapping[str, list[str]]
    raw: Mapping[str, list[str]]
    others: Mapping[str, list[str]] = MappingProxyType({})


def read_pairs(text: str, pointer: str, *, keep_raw: bool = True) -> Given:
    """Return the pairs of a query or a form by name. Raises InvalidInput if the text is not UTF-8."""
    texts: Texts = {}
    raw: Texts = {}
    for name, value, undecoded in _pairs(text, pointer):
        texts.setdefault(name, []).append(value)
        if keep_raw:
            raw.setdefault(name, []).append(undecoded)
    return Given(texts, raw)


def _pairs(text: str, pointer: str) -> Iterator[tuple[str, str, str]]:
    # The URL Standard skips empty pairs, which clients leave when they build a query.
    for pair in filter(None, text.split("&")):
        name, _, value = pair.partition("=")
        try:
            yield unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict"), value
        except UnicodeDecodeError:
            raise InvalidInput([Fault(pointer, "WRONG_FORMAT", "Must be valid UTF-8.")]) from None


def _path(scope: Scope) -> Given:
    raw = {name: [text] for name, text in scope["raw_path_params"].items()}
    return Given({name: [text] for name, text in scope["path_params"].items()}, raw)


def headers_of(scope: Scope) -> Given:
    """Return the values of the headers by their names in lower case."""
    texts: Texts = {}
    for name, value in scope["headers"]:
        texts.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip(" \t"))
    return Given(texts, {})


def cookies_of(scope: Scope) -> Given:
    """Return the values of the cookies by name (RFC 6265, section 4.2)."""
    texts: Texts = {}
    for header, value in scope["headers"]:
        for pair in value.decode("latin-1").split(";") if header == b"cookie" else ():
            name, sign, text = (part.strip(" \t") for part in pair.partition("="))
            if sign:
                texts.setdefault(name, []).append(_unquoted(text))
    return Given(texts, {})


def _unquoted(text: str) -> str:
    # Libraries escape characters inside of quotes. Werkzeug leaves out invalid values, which must fail the validation.
    return parse_cookie(f"x={text}").get("x", text) if text.startswith('"') else text


READERS: dict[str, Callable[[Scope], Given]] = {"path": _path, "header": headers_of, "cookie": cookies_of}
