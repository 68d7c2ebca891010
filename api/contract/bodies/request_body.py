"""The body of an operation: the media type chooses how it is read."""

import re
from functools import lru_cache
from typing import Any

from api.contract.bodies.files import Spool
from api.contract.bodies.simple import FileBody, JsonBody, TextBody
from api.contract.document.model import ContractError
from api.contract.document.operation import Json
from api.contract.http.body_stream import BodyStream
from api.contract.http.framing import Fields
from api.contract.schema.media_types import MediaType, find_body, parse
from api.contract.schema.schemas import Schemas
from api.contract.schema.texts import TextReader
from api.errors import Fault, UnsupportedMediaType

_ANY = "*"
# The name without a hyphen is not registered, but common.
_CHARSET = re.compile(r"charset[*\s]*(=|$)")
_UTF8 = {"charset=utf-8", 'charset="utf-8"', "charset=utf8", 'charset="utf8"'}
_KINDS = ("json", "form", "multipart", "text", "file")


def _reader(kind: str, content: Json, schemas: Schemas) -> Any:
    """Return the reader of a kind. Rare kinds are imported when a contract has them.

    Text of the format `binary` is a file, in any charset.
    """
    if kind == "text" and TextReader(content.get("schema", {}), schemas).format == "binary":
        kind = "file"
    if kind == "form":
        from api.contract.bodies.form import FormBody  # noqa: PLC0415

        return FormBody(content, schemas)
    if kind == "multipart":
        from api.contract.bodies.multipart import MultipartBody  # noqa: PLC0415

        return MultipartBody(content, schemas)
    return {"json": JsonBody, "text": TextBody, "file": FileBody}[kind](content, schemas)


class RequestBody:
    """The body of an operation, with all its media types."""

    def __init__(self, body: Json, schemas: Schemas) -> None:
        self._required = body.get("required", False)
        self._accepted = list(body["content"])
        self._readers = {
            media_type: _readers(media_type, content, schemas) for media_type, content in body["content"].items()
        }
        # Most clients of an operation send the same few headers.
        self._find = lru_cache(64)(self._choose)

    def read(self, fields: Fields, body: bytes, faults: list[Fault]) -> Any:
        """Return the parsed body, and append its faults to `faults`.

        Raises UnsupportedMediaType if the operation does not accept the type, and InvalidInput for malformed bodies.
        """
        content_type = fields.get(b"content-type", b"")
        if not body and not content_type:
            return self._missing(faults)
        read, reader, media = self._find(content_type, fields.get(b"content-encoding", b"identity"))
        if read is not None:
            return read(body, faults)
        # A body of a type that is read while it arrives only comes here if it is empty. An empty file is a file.
        return reader.checked(media, Spool(body), faults) if isinstance(reader, FileBody) else self._missing(faults)

    def _missing(self, faults: list[Fault]) -> None:
        if self._required:
            faults.append(Fault("/body", "REQUIRED", "A body is required."))

    async def receive(self, fields: Fields, stream: BodyStream, spool: Spool, faults: list[Fault]) -> Any:
        """Return the body that arrives in the stream, with files in the spool. Appends and raises as `read` does."""
        _, reader, media = self._find(fields.get(b"content-type", b""), fields.get(b"content-encoding", b"identity"))
        return await reader.receive(media, stream, spool, faults)

    def _choose(self, content_type: bytes, coding: bytes) -> tuple[Any, Any, MediaType]:
        """Return the function that reads a whole body, if there is one, the reader of a body, and its media type.

        In another charset, two readers could interpret the same text differently.
        """
        media = parse(content_type.decode("latin-1"))
        codings = {part.strip() for part in coding.lower().split(b",")}
        best = find_body(self._readers, media)
        readers = {} if best is None else self._readers[best]
        reader = readers.get(media.kind)
        is_text = media.kind in {"json", "form", "text"} and not isinstance(reader, FileBody)
        strange = media.kind == "json" and not _charsets(content_type) <= _UTF8
        if reader is None or codings != {b"identity"} or strange or (is_text and not media.is_utf8):
            raise UnsupportedMediaType(self._accepted)
        return getattr(reader, "read", None), reader, media


def _charsets(content_type: bytes) -> set[str]:
    """Return the parameters for the charset, also if they are malformed. RFC 2045, section 5: others are ignored."""
    parts = (part.strip().lower() for part in content_type.decode("latin-1").split(";")[1:])
    return {part for part in parts if _CHARSET.match(part)}


def _readers(media_type: str, content: Json, schemas: Schemas) -> dict[str, Any]:
    """Return the readers of a media type by kind. A range has those that fit its schema.

    Raises ContractError if the type cannot be served.
    """
    media = parse(media_type)
    if media.name.count("/") != 1:
        raise ContractError(f"{media_type!r} is not a media type")
    if _ANY not in media.name:
        try:
            return {media.kind: _reader(media.kind, content, schemas)}
        except ContractError as error:
            raise ContractError(f"{media.name}: {error}") from None
    found = {}
    for kind in _KINDS:
        try:
            found[kind] = _reader(kind, content, schemas)
        except ContractError:
            continue
    return found
