"""The declared responses of one operation, ready to turn the result of its handler into a response."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime
from typing import Any, cast

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import http_date
from werkzeug.wrappers import Response as WsgiResponse

from api.contract.dispatch.encoders import content_type, make_encoder, type_for
from api.contract.document.operation import Json, Operation, header_content, resolve
from api.contract.http.response import Headers, Response, StreamedResponse, raw_headers
from api.contract.schema import media_types
from api.contract.schema.json_values import encode, free_form, is_file
from api.contract.schema.response_schema import declared_status
from api.contract.schema.serializer import Serializers

AnyResponse = Response | StreamedResponse

_EMPTY = (b"content-length", b"0")
_VARY = (b"vary", b"Accept")
# RFC 9110, section 15: these have no content. A 205 has the length 0.
_WITHOUT_CONTENT = {204, 304}
# Flask answers conditional requests and requests for a range with these, for example in send_file.
_OF_FLASK = {206, 304}


class InvalidResult(Exception):
    """The result of a handler is not a response that the contract declares."""


class Medium:
    """A declared media type of a response, and its encoder."""

    def __init__(self, name: str, schema: Any, serializers: Serializers) -> None:
        self.name = name
        self.encode = make_encoder(name, schema, serializers)
        self._schema = schema
        self._serializers = serializers

    def with_type(self, media_type: str) -> "Medium":
        """Return the medium for a media type in this range."""
        if not media_types.is_range(self.name):
            return self
        return Medium(media_type, self._schema, self._serializers)


class Replies:
    """The responses of an operation by status, range and `default`."""

    def __init__(self, operation: Operation, serializers: Serializers) -> None:
        self._declared = operation.responses
        self._serializers = serializers
        self._document = operation.document
        self._made: dict[str, Reply] = {}
        self.usual = self._usual(operation)

    def find(self, status: int) -> "Reply":
        """Return the response with this status. Raises InvalidResult if the contract does not declare it."""
        key = declared_status(self._declared, status)
        if key is None:
            raise InvalidResult(f"the contract does not declare the status {status}")
        return self._find(key)

    def respond(self, result: Any, medium: Medium | None) -> AnyResponse:
        """Return the response for any result of a handler. Raises InvalidResult if the contract does not declare it."""
        body, status, headers = _parts(result)
        if isinstance(body, WsgiResponse):
            body.status_code = status or body.status_code
            body.headers.update(headers)
            try:
                return self._of_flask(body, medium)
            except Exception:
                body.close()
                raise
        if status is None and self.usual is None:
            raise InvalidResult("the contract declares no 2xx response, so the handler must return a status")
        reply = self.usual[1] if status is None and self.usual else self.find(status or 0)
        status = status or (self.usual[0] if self.usual else 0)
        return reply.respond(status, body, reply.like(medium), headers)

    def _of_flask(self, response: WsgiResponse, medium: Medium | None) -> AnyResponse:
        """Return a response of Flask with the members, the status and the media type that the contract declares."""
        status, headers = response.status_code, response.get_wsgi_headers({})
        is_of_flask = status in _OF_FLASK and declared_status(self._declared, status) is None
        reply = self.find(200 if is_of_flask else status)
        is_json = media_types.is_json(response.mimetype or "")
        if response.is_streamed and not is_json:
            return reply.respond(status, _Chunks(response), reply.like(medium), headers)
        response.direct_passthrough = False
        data = response.get_data()
        response.close()
        if is_json:
            headers.remove("Accept-Ranges")
        parsed = json.loads(data) if data and is_json else data
        return reply.respond(status, parsed, reply.like(medium), headers)

    def _find(self, key: str) -> "Reply":
        if key not in self._made:
            self._made[key] = Reply(self._declared[key], self._serializers, self._document)
        return self._made[key]

    def _usual(self, operation: Operation) -> "tuple[int, Reply] | None":
        """Return the status and the response of a plain body: the first 2xx, or else the first 3xx."""
        exact = [status for status in self._declared if status[:1] in {"2", "3"} and status.isdecimal()]
        wide = [("200", status) for status in ("2XX", "default") if status in self._declared]
        firsts = [(status, status) for status in exact if status.startswith("2")] + wide
        firsts += [(status, status) for status in exact]
        return (int(firsts[0][0]), self._find(firsts[0][1])) if firsts else None


class _Chunks(Iterator[bytes]):
    """The body of a streamed response of Flask."""

    def __init__(self, response: WsgiResponse) -> None:
        self._chunks = iter(response.iter_encoded())
        self.close = response.close

    def __next__(self) -> bytes:
        return next(self._chunks)


def _parts(result: Any) -> tuple[Any, int | None, Any]:
    """Return the body, the status and the headers of a result."""
    if type(result) is not tuple:
        return result, None, ()
    match result:
        case (body, status) if _is_status(status):
            return body, _status(status), ()
        case (body, headers) if _are_headers(headers):
            return body, None, headers
        case (body, status, headers) if _is_status(status) and _are_headers(headers):
            return body, _status(status), headers
    raise InvalidResult("a tuple must be (body, status), (body, headers) or (body, status, headers)")


def _is_status(value: Any) -> bool:
    return (isinstance(value, int) and type(value) is not bool) or (isinstance(value, str) and value[:3].isdecimal())


def _status(value: int | str) -> int:
    return int(value[:3] if isinstance(value, str) else value)


def _are_headers(value: Any) -> bool:
    return hasattr(value, "items") or isinstance(value, list | tuple)


class Reply:
    """One declared response."""

    def __init__(self, declared: Json, serializers: Serializers, document: Json) -> None:
        content = declared.get("content", {})
        self.media = [Medium(name, media.get("schema", {}), serializers) for name, media in content.items()]
        self.names = tuple(content)
        self._headers = {
            name.lower(): _header_writer(resolve(part, document), serializers)
            for name, part in declared.get("headers", {}).items()
        }
        is_simple = len(content) == 1 and not media_types.is_range(self.names[0])
        self._content_type = (b"content-type", content_type(self.names[0]).encode()) if is_simple else None

    def choose(self, accept: str | None) -> Medium | None:
        """Return the media type that the client prefers. Raises NotAcceptable if the client accepts none."""
        if not self.media:
            return None
        number = media_types.preferred(accept, self.names) if len(self.media) > 1 else 0
        if number is None:
            raise NotAcceptable()
        return self.media[number]

    def like(self, medium: Medium | None) -> Medium | None:
        """Return the medium of another response, if this response has it, too, or else the first one."""
        same = (own for own in self.media if medium is not None and own.name == medium.name)
        return next(same, self.media[0] if self.media else None)

    def respond(self, status: int, body: Any, medium: Medium | None, headers: Any = ()) -> AnyResponse:
        """Return the response with this body, in the given media type unless the headers name another one."""
        if not headers and self._content_type is not None and medium is not None and status not in _WITHOUT_CONTENT:
            # The usual case, without a list of headers that is filtered.
            encoded = medium.encode(body)
            if type(encoded) is bytes:
                return Response(status, [self._content_type, (b"content-length", b"%d" % len(encoded))], encoded)
            return streamed(status, [self._content_type], cast(Iterator[bytes], encoded), body)
        given = raw_headers(self._written(headers))
        if medium is None or status in _WITHOUT_CONTENT:
            discard(body)
            bare = [header for header in given if header[0] not in {b"content-length", b"content-type"}]
            # A 204 must not have a Content-Length (RFC 9110, section 8.6). Other empty responses get one.
            return Response(status, bare if status in _WITHOUT_CONTENT else [_EMPTY, *bare], b"")
        own = next((value.decode("latin-1") for name, value in given if name == b"content-type"), None)
        if own is not None:
            medium = self._declared(own)
        else:
            given.insert(0, (b"content-type", content_type(_concrete(medium, body)).encode()))
        if len(self.media) > 1:
            given.append(_VARY)
        return _with_body(status, body, medium, given)

    def _declared(self, media_type: str) -> Medium:
        name = media_types.find(self.names, media_type)
        if name is None:
            raise InvalidResult(f"the contract does not declare the media type {media_types.essence(media_type)}")
        return self.media[self.names.index(name)].with_type(media_type)

    def _written(self, headers: Any) -> Iterator[tuple[str, str]]:
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            if value is not None:
                yield name, self._headers.get(name.lower(), _undeclared)(value)


def _header_writer(definition: Json, serializers: Serializers) -> Callable[[Any], str]:
    """Return the function that writes the values of a header."""
    media_type, schema = header_content(definition)
    shape = serializers.make(schema)
    if media_type and media_types.is_json(media_type):
        # A header is ASCII, and the json module escapes all other characters.
        return lambda value: json.dumps(json.loads(encode(shape(value))))
    has_format = "format" in serializers.resolve(schema)
    explode = definition.get("explode", False)

    def write(value: Any) -> str:
        if type(value) is str:
            return value
        is_time = isinstance(value, datetime) and not has_format
        return http_date(value) if is_time else _text(shape(value), explode=explode)

    return write


def _undeclared(value: Any) -> str:
    return _text(http_date(value) if isinstance(value, datetime) else free_form(value))


def _text(value: Any, *, explode: bool = False) -> str:
    """Return the value of a header in the style `simple` of OpenAPI."""
    if isinstance(value, dict):
        sign = "=" if explode else ","
        return ",".join(f"{name}{sign}{_text(member)}" for name, member in value.items())
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)


def _concrete(medium: Medium, body: Any) -> str:
    name = type_for(medium.name, body)
    if name is None:
        raise InvalidResult(f"a response in {medium.name} needs the header Content-Type")
    return name


def _with_body(status: int, body: Any, medium: Medium, headers: Headers) -> AnyResponse:
    encoded = medium.encode(body)
    if isinstance(encoded, bytes):
        own = [header for header in headers if header[0] != b"content-length"]
        return Response(status, [*own, (b"content-length", b"%d" % len(encoded))], encoded)
    return streamed(status, headers, encoded, body)


def streamed(status: int, headers: Headers, chunks: Iterator[bytes], source: Any) -> StreamedResponse:
    """Return a response that is made while it is sent. `source` is closed at the end.

    The first chunk is made now, so that an error before it becomes an error response. All chunks see the context
    variables of the handler, such as `flask.request`.
    """
    context = copy_context()
    first = [context.run(next, chunks, None)]

    def chunk() -> bytes | None:
        return first.pop() if first else context.run(next, chunks, None)

    def close() -> None:
        for part in (chunks, source):
            # A generator that is still running in a thread cannot be closed.
            with suppress(ValueError):
                context.run(getattr(part, "close", int))

    return StreamedResponse(status, headers, chunk, close)


def discard(body: Any) -> None:
    """Close a stream or a file that is not sent."""
    if isinstance(body, Iterator) or is_file(body):
        getattr(body, "close", int)()


def from_flask(response: WsgiResponse) -> AnyResponse:
    """Return a response of Flask as it is."""
    headers = raw_headers(response.get_wsgi_headers({}))
    if response.is_streamed:
        return streamed(response.status_code, headers, iter(response.iter_encoded()), response)
    response.direct_passthrough = False
    return Response(response.status_code, headers, response.get_data())
