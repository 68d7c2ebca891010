"""The files of a request, on disk above a size."""

import asyncio
import logging
import os
from dataclasses import dataclass
from io import SEEK_CUR, SEEK_END, BufferedReader, BytesIO, RawIOBase
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from api.errors import TooBusy

_log = logging.getLogger("charter.uploads")

# Files of up to this size together stay in memory.
_IN_MEMORY = 256 * 1024


class Spool:
    """The files of one request, one after the other. They go to one unnamed file on disk above 256 KiB.

    `data` is already in memory, and stays there if nothing is appended.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.size = len(data)
        self._buffer = bytearray(data)
        self._disk: _Disk | None = None
        self._is_closed = False

    async def write(self, data: bytes) -> None:
        """Append data. A thread writes to the disk, so that a slow disk does not block other requests.

        Raises TooBusy if the folder for temporary files is full or missing.
        """
        self._buffer += data
        self.size += len(data)
        if len(self._buffer) > _IN_MEMORY:
            await self._flush()

    async def end(self) -> None:
        """Write the rest."""
        if self._disk is not None:
            await self._flush()

    async def _flush(self) -> None:
        try:
            if self._disk is None:
                self._disk = _new_disk()
            data, self._buffer = self._buffer, bytearray()
            await asyncio.to_thread(self._disk.write, data)
        except OSError as error:
            _log.error("upload_not_stored", extra={"facts": {"reason": error.strerror}})
            raise TooBusy() from error

    def open(self, start: int, end: int) -> BinaryIO:
        """Return a reader of a part. Raises ValueError after the request."""
        if self._is_closed:
            raise ValueError("the files of a request exist until its response has been sent")
        if self._disk is None:
            return BytesIO(self._buffer[start:end])
        return cast(BinaryIO, BufferedReader(_Section(os.dup(self._disk.descriptor), start, end)))

    def close(self) -> None:
        """Delete the files. Open readers keep theirs."""
        self._is_closed = True
        self._disk = None


class _Disk:
    """An unnamed file on disk. It is closed when the spool and the threads that write to it need it no more.

    If a request ends during a write, another file or connection must not get the same descriptor before its end.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, data: bytearray) -> None:
        """Write all data."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def __del__(self) -> None:
        os.close(self.descriptor)


def _new_disk() -> _Disk:
    with TemporaryFile(buffering=0) as file:
        return _Disk(os.dup(file.fileno()))


class _Section(RawIOBase):
    """A reader of a part of a file on disk, which shares no position with other readers."""

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._start, self._end, self._position = start, end, start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._descriptor, min(len(buffer), max(0, self._end - self._position)), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {SEEK_CUR: self._position, SEEK_END: self._end}.get(whence, self._start)
        self._position = max(self._start, base + offset)
        return self._position - self._start

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@dataclass(frozen=True)
class UploadedFile:
    """A file of a request. It exists until the response has been sent.

    `filename` is the client's, so never use it as a path. It is None for a body that is one file.
    """

    filename: str | None
    content_type: str
    size: int
    spool: Spool
    start: int

    def open(self) -> BinaryIO:
        """Return a new reader, from the beginning of the file."""
        return self.spool.open(self.start, self.start + self.size)


class FileText(str):
    """The stand-in for a file in a value that is validated. Its length is the size of the file in bytes."""

    __slots__ = ("file",)
    file: UploadedFile
    unit = "bytes"
    """The unit of the length in the text of a fault."""

    def __len__(self) -> int:
        return self.file.size


def stand_in(file: UploadedFile) -> FileText:
    """Return the stand-in for a file."""
    text = FileText()
    text.file = file
    return text


def with_files(value: Any) -> Any:
    """Return the value with the files in the place of their stand-ins, which are members or in lists of members."""
    if isinstance(value, FileText):
        return value.file
    if isinstance(value, list):
        return [part.file if isinstance(part, FileText) else part for part in value]
    return value
