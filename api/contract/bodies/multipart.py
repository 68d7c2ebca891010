"""Bodies of the type `multipart/form-data` (RFC 7578), parsed while they arrive."""

from collections import Counter
from typing import Any, NamedTuple, cast

from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio import multipart

from api.contract.bodies.files import Spool, UploadedFile, stand_in, with_files
from api.contract.bodies.simple import decoded, parsed
from api.contract.bodies.styled import has_style, styled
from api.contract.document.operation import Json
from api.contract.document.version import is_3_1
from api.contract.http.body_stream import BodyStream
from api.contract.http.framing import HEADER_BYTES
from api.contract.schema.fault_text import pointer_inside
from api.contract.schema.media_types import MediaType, find, parse
from api.contract.schema.places import Given, Texts
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.styled_values import StyledValues
from api.contract.schema.texts import TextReader
from api.errors import BodyTooLarge, Fault, InvalidInput

# The size of all texts and of the headers of all parts. Files have no limit but that of the body.
_IN_MEMORY = 1024 * 1024
_CHUNK = 64 * 1024
_MOST_PARTS = 1000


class Part(NamedTuple):
    """One part: its name, its number among those of this name, its content type, and its text or its file."""

    name: str
    number: int
    media: MediaType | None
    data: bytes | None
    file: UploadedFile | None


class MultipartBody:
    """A form with files. The schema gives the types of its parts, and `encoding` their content types."""

    def __init__(self, content: Json, schemas: Schemas) -> None:
        schema = content.get("schema", {})
        self._reader = TextReader(schema, schemas)
        self._validator = schemas.request_validator(schema)
        encoding = content.get("encoding", {})
        self._accepted = {
            name: [parse(part.strip()).name for part in rules["contentType"].split(",")]
            for name, rules in encoding.items()
            if "contentType" in rules
        }
        # OpenAPI 3.0 ignores the styles of parts.
        named = {name: encoding.get(name, {}) for name in self._reader.names} if is_3_1(schemas.document) else {}
        self._styled = StyledValues(
            {
                name: styled(name, self._reader.member(name), rules, schemas)
                for name, rules in named.items()
                if has_style(rules)
            }
        )

    async def receive(self, media: MediaType, stream: BodyStream, spool: Spool, faults: list[Fault]) -> Any:
        """Return the members of the form, and append their faults. Raises InvalidInput if the form is malformed."""
        boundary = media.parameters.get("boundary", "")
        if not boundary or not boundary.isascii():
            raise _malformed()
        parser = _Parser(boundary.encode(), self._is_file, spool)
        try:
            await stream.read(parser.take)
            await parser.end()
        except ValueError:
            raise _malformed() from None
        except RequestEntityTooLarge:
            full = len(parser.parts) == _MOST_PARTS
            raise (BodyTooLarge(_MOST_PARTS, "parts") if full else BodyTooLarge(_IN_MEMORY)) from None
        await spool.end()
        return self._value(parser.parts, faults)

    def _is_file(self, name: str, number: int, filename: str | None) -> bool:
        return self._target(name, number).is_binary(named=filename is not None)

    def _target(self, name: str, number: int) -> TextReader:
        """Return the reader of the part with this number among those with the same name."""
        reader = self._reader.member(name)
        return reader.item(number) if "array" in reader.types else reader

    def _value(self, parts: list[Part], faults: list[Fault]) -> Any:
        count = len(faults)
        with_style: list[Part] = []
        others: list[Part] = []
        for part in parts:
            (with_style if self._has_style(part) else others).append(part)
        members = self._styled_members(with_style, faults)
        for part in others:
            self._add(part, members, faults)
        self._unwrap(members)
        if len(faults) == count:
            faults += faults_of(self._validator.errors(members), "/body")
        if len(faults) > count:
            return None
        return {name: with_files(value) for name, value in self._validator.filled(members).items()}

    def _unwrap(self, members: dict[str, Any]) -> None:
        """Replace a list of one item by the item, if the schema allows only that."""
        for name, value in members.items():
            reader = self._reader.member(name)
            if isinstance(value, list) and len(value) == 1 and len(reader.types) > 1:
                only = reader.best([value[0]]).value if isinstance(value[0], str) else value[0]
                is_item = not reader.validator.is_valid(value) and reader.validator.is_valid(only)
                members[name] = only if is_item else value

    def _styled_members(self, parts: list[Part], faults: list[Fault]) -> dict[str, Any]:
        texts: Texts = {}
        for part in parts:
            text = _decoded(part, pointer_inside("/body", [part.name]), faults)
            texts.setdefault(part.name, []).append(text or "")
        readings, _ = self._styled.readings(Given(texts, {}), faults)
        return {name: self._reader.member(name).best(found).value for name, found in readings.items()}

    def _has_style(self, part: Part) -> bool:
        is_known = self._styled.claims(part.name) or (self._styled.takes_others and part.name not in self._reader.names)
        return part.file is None and is_known

    def _add(self, part: Part, members: dict[str, Any], faults: list[Fault]) -> None:
        pointer = pointer_inside("/body", [part.name])
        accepted = self._accepted.get(part.name, [])
        given = part.media.name if part.media else "application/octet-stream" if part.file else "text/plain"
        if accepted and (part.file or part.media) and find(accepted, given) is None:
            faults.append(Fault(pointer, "NOT_ALLOWED", f"Must have the content type {' or '.join(accepted)}."))
            return
        reader = self._target(part.name, part.number)
        value = stand_in(part.file) if part.file else self._text(part, reader, pointer, faults)
        if "array" not in self._reader.member(part.name).types:
            if part.name in members:
                faults.append(Fault(pointer, "REPEATED", "Must be given only once."))
            members[part.name] = value
            return
        # One part of JSON may be the whole list.
        whole = isinstance(value, list) and "array" not in reader.types
        members.setdefault(part.name, []).extend(value if whole else [value])

    def _text(self, part: Part, reader: TextReader, pointer: str, faults: list[Fault]) -> Any:
        if part.media and part.media.kind == "json":
            return parsed(part.data or b"", pointer, faults)
        text = _decoded(part, pointer, faults)
        return None if text is None else reader.best([text]).value


def _decoded(part: Part, pointer: str, faults: list[Fault]) -> str | None:
    if part.media and not part.media.is_utf8:
        faults.append(Fault(pointer, "WRONG_FORMAT", "Must be UTF-8."))
        return None
    return decoded(part.data or b"", pointer, faults)


def _malformed() -> InvalidInput:
    return InvalidInput([Fault("/body", "WRONG_FORMAT", "Not valid multipart/form-data.")])


def _check_headers(size: int) -> None:
    if size > HEADER_BYTES:
        raise BodyTooLarge(HEADER_BYTES, part="header section of a part")


class _Decoder(multipart.MultipartDecoder):
    """A decoder that rejects lines without a name in the headers of a part.

    Werkzeug ends the headers at two equal line breaks only. Otherwise it takes the data, and the part after it, as
    headers. It calls this private method, so a test fails if a release renames it.
    """

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        # A line that begins with a space continues the one before (RFC 5322, section 2.2.3).
        if not all(line.strip() and (b":" in line or line[:1] in b" \t") for line in data.splitlines()):
            raise ValueError("each header of a part must have a name and a value")
        return super()._parse_headers(data)


class _Parser:
    """The parts that have arrived so far. Files go to the spool."""

    def __init__(self, boundary: bytes, is_file: Any, spool: Spool) -> None:
        self.parts: list[Part] = []
        self._decoder = _Decoder(boundary, _IN_MEMORY, max_parts=_MOST_PARTS)
        self._is_file = is_file
        self._numbers: Counter[str] = Counter()
        self._number = 0
        self._spool = spool
        self._event: multipart.Field | multipart.File | None = None
        self._text: bytearray | None = None
        self._texts = 0
        self._start = 0

    async def take(self, data: bytes) -> None:
        """Parse the next bytes. Raises ValueError if they are malformed."""
        for start in range(0, len(data), _CHUNK):
            self._decoder.receive_data(data[start : start + _CHUNK])
            await self._parse()

    async def end(self) -> None:
        """Raise ValueError if the body is incomplete."""
        self._decoder.receive_data(None)
        await self._parse()

    async def _parse(self) -> None:
        while not isinstance(event := self._decoder.next_event(), multipart.NeedData | multipart.Epilogue):
            if isinstance(event, multipart.Field | multipart.File):
                self._begin(event)
            elif isinstance(event, multipart.Data):
                await self._add(event)
        # Headers of 1 MB take seconds to parse.
        if self._decoder.state is multipart.State.PART:
            _check_headers(len(self._decoder.buffer))

    def _begin(self, event: multipart.Field | multipart.File) -> None:
        filename = getattr(event, "filename", None)
        if not event.name or "\x00" in f"{event.name}{filename}{event.headers.get('content-type')}":
            raise ValueError("a part must have a name, and no NUL character in its headers")
        size = sum(len(name) + len(value) for name, value in event.headers)
        _check_headers(size)
        self._count(size)
        self._event = event
        self._number = self._numbers[event.name]
        self._numbers[event.name] += 1
        self._text = None if self._is_file(event.name, self._number, filename) else bytearray()
        self._start = self._spool.size

    def _count(self, size: int) -> None:
        self._texts += size
        if self._texts > _IN_MEMORY:
            raise RequestEntityTooLarge()

    async def _add(self, event: multipart.Data) -> None:
        if self._text is None:
            await self._spool.write(event.data)
        else:
            self._count(len(event.data))
            self._text += event.data
        if not event.more_data:
            self.parts.append(self._made())

    def _made(self) -> Part:
        event = cast(multipart.Field, self._event)
        given = event.headers.get("content-type")
        media = parse(given) if given else None
        if self._text is not None:
            return Part(event.name, self._number, media, bytes(self._text), None)
        content_type = media.name if media else "application/octet-stream"
        filename = getattr(event, "filename", None)
        file = UploadedFile(filename, content_type, self._spool.size - self._start, self._spool, self._start)
        return Part(event.name, self._number, media, None, file)
