"""Turn the body of a result into the bytes of its media type, whole or chunk by chunk."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from api.contract.document.operation import Json
from api.contract.schema import media_types
from api.contract.schema.json_values import NotSerializable, encode, is_file
from api.contract.schema.serializer import Serializers
from api.contract.schema.shapes import Shape

Encoder = Callable[[Any], bytes | Iterator[bytes]]
"""Returns the bytes of a body, or its chunks if the body is streamed."""

_CHUNK_BYTES = 65536


def make_encoder(media_type: str, schema: Any, serializers: Serializers) -> Encoder:
    """Return the encoder of a media type. JSON is serialized by the schema. Text and bytes are sent as they are."""
    if media_types.is_json(media_type):
        return _json_encoder(serializers.make(schema))
    if media_types.is_json_lines(media_type):
        return partial(_json_lines, serializers.make_lines(schema))
    as_is = partial(_as_is, serializers.make(_form_of(serializers.resolve(schema))))
    if media_types.essence(media_type) in {"*/*", "application/*"}:
        return partial(_by_type, _json_encoder(serializers.make(schema)), as_is)
    return as_is


def type_for(media_type: str, body: Any) -> str | None:
    """Return the media type of a body in a declared range, or None if the body does not determine one."""
    if not media_types.is_range(media_type):
        return media_type
    if _is_json_value(body):
        guess = "application/json"
    else:
        guess = "text/plain" if isinstance(body, str) else "application/octet-stream"
    return guess if media_types.find([media_type], guess) else None


def content_type(media_type: str) -> str:
    """Return the header for a media type of the contract. Charter sends all text in UTF-8."""
    with_charset = media_types.is_text(media_type) and "charset" not in media_type.lower()
    return f"{media_type}; charset=utf-8" if with_charset else media_type


def _json_encoder(shape: Shape) -> Encoder:
    return lambda body: encode(shape(body))


def _json_lines(shape_of: Callable[[int], Shape], rows: Any) -> bytes | Iterator[bytes]:
    if isinstance(rows, str | bytes):
        return rows.encode() if isinstance(rows, str) else rows
    if not isinstance(rows, Iterable):
        raise NotSerializable("the value must be an iterable of rows")
    lines = (_line(shape_of(number), number, row) for number, row in enumerate(rows))
    return lines if isinstance(rows, Iterator) else b"".join(lines)


def _line(shape: Shape, number: int, row: Any) -> bytes:
    try:
        return encode(shape(row)) + b"\n"
    except NotSerializable as error:
        raise error.inside(number) from None


def _form_of(schema: Any) -> Json:
    # The body is not JSON, so only the form of a date in a text matters.
    return {name: schema[name] for name in ("format",) if isinstance(schema, dict) and name in schema}


def _is_json_value(body: Any) -> bool:
    return not isinstance(body, str | bytes | bytearray | memoryview | Iterator) and not is_file(body)


def _by_type(as_json: Encoder, as_is: Encoder, body: Any) -> bytes | Iterator[bytes]:
    return as_json(body) if _is_json_value(body) else as_is(body)


def _as_is(shape: Shape, body: Any) -> bytes | Iterator[bytes]:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        return _utf8(body)
    if is_file(body):
        return _file_chunks(body)
    if isinstance(body, Iterator):
        return map(_part, body)
    text = shape(body)
    if text is None or isinstance(text, list | dict):
        raise NotSerializable("the value must be a text, bytes, a file or an iterator of them")
    return _utf8(text) if isinstance(text, str) else encode(text)


def _part(part: Any) -> bytes:
    if isinstance(part, str):
        return _utf8(part)
    if isinstance(part, bytes | bytearray | memoryview):
        return bytes(part)
    raise NotSerializable("each chunk must be a text or bytes")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NotSerializable("the string contains a lone surrogate") from None


def _file_chunks(file: Any) -> Iterator[bytes]:
    try:
        while part := file.read(_CHUNK_BYTES):
            yield _part(part)
    finally:
        file.close()
