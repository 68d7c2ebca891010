"""The memory that a real server needs for large uploads, in each kind of body that goes to disk."""

import shutil
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import httpx
import pytest

from tests.support.charter import Charter, Server
from tests.support.paths import CHECKOUT

MEGABYTE = 1_000_000
CHUNK = bytes(range(250)) * 200
SIZE = 100 * MEGABYTE
CONTRACT = f"""
tags: [{{name: uploads, description: A test of large files.}}]
paths:
  /uploads:
    post:
      tags: [uploads]
      operationId: addUpload
      summary: Send files
      description: Returns their sizes.
      security: []
      x-body-bytes: {SIZE + MEGABYTE}
      requestBody:
        required: true
        content:
          multipart/form-data:
            schema:
              type: object
              additionalProperties: false
              properties:
                note: {{type: string, maxLength: 9}}
                file: {{type: string, format: binary}}
                files: {{type: array, maxItems: 9, items: {{type: string, format: binary}}}}
          application/octet-stream: {{schema: {{type: string, format: binary}}}}
          image/*: {{schema: {{type: string, format: binary}}}}
      responses:
        '200':
          description: The sizes.
          content:
            application/json:
              schema: {{type: array, maxItems: 9, items: {{type: integer, minimum: 0, maximum: {SIZE}}}}}
"""
HANDLER = """
def add_upload(body):
    files = body.get("files") or [body["file"]] if isinstance(body, dict) else [body]
    return [_size(file) for file in files]


def _size(file):
    with file.open() as reader:
        return sum(len(chunk) for chunk in iter(lambda: reader.read(100_000), b""))
"""
FORM = "multipart/form-data; boundary=b"


def whole(size: int) -> Iterator[bytes]:
    """Yield the bytes of one file."""
    return repeat(CHUNK, size // len(CHUNK))


def part(name: str, size: int) -> Iterator[bytes]:
    """Yield a part of a form with a file."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode()
    return chain([head], whole(size), [b"\r\n"])


def one_part(size: int) -> Iterator[bytes]:
    """Yield a form with one file."""
    return chain(part("file", size), [b"--b--\r\n"])


def four_parts(size: int) -> Iterator[bytes]:
    """Yield a form with a text and a list of four files."""
    note = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    return chain([note], *(part("files", size // 4) for _ in range(4)), [b"--b--\r\n"])


@pytest.fixture
def uploading(tmp_path: Path) -> Iterator[Server]:
    """Yield a server with an operation that takes files."""
    for name in ("api", "migrations", "openapi"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    (tmp_path / "openapi/uploads.yaml").write_text(CONTRACT)
    (tmp_path / "api/handlers/uploads.py").write_text(HANDLER)
    charter = Charter(tmp_path, {"PYTHONPATH": str(tmp_path)})
    charter.run("migrate").check_returncode()
    with charter.serving() as server:
        yield server


def memory(server: Server, name: str) -> int:
    """Return a figure of the process in bytes: VmRSS is the memory now, and VmHWM its peak."""
    facts = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(facts.partition(f"{name}:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("content_type", "body", "count", "announced"),
    [
        (FORM, one_part, 1, False),
        (FORM, four_parts, 4, True),
        ("application/octet-stream", whole, 1, True),
        ("image/png", whole, 1, False),
    ],
    ids=["form", "list", "octet-stream", "range"],
)
def test_an_upload_of_100_mb_takes_less_than_20_mb_of_memory(
    uploading: Server, content_type: str, body: Callable[[int], Iterator[bytes]], count: int, announced: bool
) -> None:
    def send(size: int) -> list[int]:
        headers = {"Content-Type": content_type}
        headers |= {"Content-Length": str(sum(map(len, body(size))))} if announced else {}
        response = client.post("/uploads", content=body(size), headers=headers)
        assert response.status_code == 200, response.text
        sizes: list[int] = response.json()
        return sizes

    with httpx.Client(base_url=uploading.url, timeout=60) as client:
        # The first upload imports modules and starts threads.
        send(MEGABYTE)
        before = memory(uploading, "VmRSS")
        # 5 resets the peak.
        Path(f"/proc/{uploading.process.pid}/clear_refs").write_text("5")
        assert send(SIZE) == [SIZE // count] * count
        growth = memory(uploading, "VmHWM") - before
    print(f"{growth / MEGABYTE:.1f} MB")
    assert growth < 20 * MEGABYTE
