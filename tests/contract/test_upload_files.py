"""The files of uploads, on disk."""

import asyncio
import errno
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from api.contract.bodies.files import Spool
from api.errors import TooBusy
from tests.support.patience import PATIENCE_SECONDS


def test_a_write_after_the_request_reaches_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_write, written = threading.Event(), threading.Event(), threading.Event()
    write = os.write

    def slow_write(descriptor: int, data: Any) -> int:
        begun.set()
        assert may_write.wait(PATIENCE_SECONDS)
        try:
            return write(descriptor, data)
        finally:
            written.set()

    async def cancel_an_upload() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", slow_write)
            spool = Spool()
            upload = asyncio.create_task(spool.write(b"x" * 1_000_000))
            while not begun.is_set():
                await asyncio.sleep(0.01)
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upload
        spool.close()

    async def upload_and_open_another_file() -> None:
        await cancel_an_upload()
        # A new file gets the lowest descriptor that is free.
        with (tmp_path / "other").open("wb"):
            may_write.set()
            while not written.is_set():
                await asyncio.sleep(0.01)

    asyncio.run(upload_and_open_another_file())
    assert (tmp_path / "other").read_bytes() == b""


def test_files_exist_until_the_response_has_been_sent() -> None:
    for size in (1, 1_000_000):
        spool = Spool()
        asyncio.run(spool.write(b"x" * size))
        asyncio.run(spool.end())
        with spool.open(0, size) as reader:
            spool.close()
            assert reader.read() == b"x" * size
        with pytest.raises(ValueError, match="exist until its response has been sent"):
            spool.open(0, size)


@pytest.mark.parametrize("size", [9, 1_000_000])
def test_readers_of_files_seek_within_their_file(size: int) -> None:
    spool, data = Spool(), bytes(range(9)) * (size // 9)
    for part in (b"before", data, b"after"):
        asyncio.run(spool.write(part))
    asyncio.run(spool.end())
    with spool.open(6, 6 + len(data)) as reader:
        assert reader.seek(-2, os.SEEK_END) == len(data) - 2
        assert reader.read() == data[-2:]
        assert (reader.seek(1), reader.seek(2, os.SEEK_CUR), reader.read(2)) == (1, 3, b"\x03\x04")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT])
def test_a_folder_that_is_full_or_missing_is_a_503(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fail)
    if number == errno.ENOENT:
        monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    spool = Spool()
    with pytest.raises(TooBusy):
        asyncio.run(spool.write(b"x" * 1_000_000))
    (record,) = caplog.records
    assert (record.message, vars(record)["facts"]) == ("upload_not_stored", {"reason": os.strerror(number)})
