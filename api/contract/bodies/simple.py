"""Bodies that are one value: JSON, a text, or a file."""

from typing import Any

from api.contract.bodies.files import Spool, UploadedFile, stand_in
from api.contract.document.model import ContractError
from api.contract.document.operation import Json
from api.contract.http.body_stream import BodyStream
from api.contract.schema import strict_json
from api.contract.schema.media_types import MediaType
from api.contract.schema.request_schema import faults_of
from api.contract.schema.schemas import Schemas
from api.contract.schema.texts import TextReader
from api.errors import Fault, InvalidInput


class JsonBody:
    """A body of JSON."""

    def __init__(self, content: Json, schemas: Schemas) -> None:
        self._validator = schemas.request_validator(content.get("schema", {}))

    def read(self, body: bytes, faults: list[Fault]) -> Any:
        """Return the parsed body, and append its faults. Raises InvalidInput if it cannot be parsed."""
        value = strict_json.parse(body)
        if errors := self._validator.errors(value):
            faults += faults_of(errors, "/body")
            return value
        return self._validator.filled(value)


class TextBody:
    """A body that is a text."""

    def __init__(self, content: Json, schemas: Schemas) -> None:
        schema = content.get("schema", {})
        self._reader = TextReader(schema, schemas)
        if not self._reader.is_scalar:
            raise ContractError("a text body must have the schema of a text")

    def read(self, body: bytes, faults: list[Fault]) -> Any:
        """Return the text, or the number or boolean that it means, and append its faults."""
        text = decoded(body, "/body", faults)
        if text is None:
            return None
        value, is_valid = self._reader.best([text])
        if not is_valid:
            faults += faults_of(self._reader.validator.errors(value), "/body")
        return value


def decoded(data: bytes, pointer: str, faults: list[Fault]) -> str | None:
    """Return the text of UTF-8, or None if it has a fault."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        faults.append(Fault(pointer, "WRONG_FORMAT", "Must be valid UTF-8."))
        return None
    if "\x00" in text:
        faults.append(Fault(pointer, "WRONG_FORMAT", "Must not contain a NUL character."))
        return None
    return text


def parsed(data: bytes, pointer: str, faults: list[Fault]) -> Any:
    """Return the value of a part of a form that is JSON, or None if it has a fault."""
    try:
        return strict_json.parse_part(data, pointer)
    except InvalidInput as error:
        faults += error.faults
        return None


class FileBody:
    """A body that is one file."""

    def __init__(self, content: Json, schemas: Schemas) -> None:
        schema = content.get("schema", {})
        if "string" not in TextReader(schema, schemas).types:
            raise ContractError("a binary body must have a schema of the type string")
        self._validator = schemas.request_validator(schema)

    async def receive(self, media: MediaType, stream: BodyStream, spool: Spool, faults: list[Fault]) -> Any:
        """Return the file, and append its faults."""
        await stream.read(spool.write)
        await spool.end()
        return self.checked(media, spool, faults)

    def checked(self, media: MediaType, spool: Spool, faults: list[Fault]) -> UploadedFile:
        """Return the file in the spool, and append its faults."""
        file = UploadedFile(None, media.name, spool.size, spool, 0)
        faults += faults_of(self._validator.errors(stand_in(file)), "/body")
        return file
