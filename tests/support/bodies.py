"""Request bodies for an operation that returns its body."""

from typing import Any

from tests.support.engine import ECHO, Engine, document

FORM = "application/x-www-form-urlencoded"


def serve(engine: Engine, content: str, more: str = "", required: bool = True) -> None:
    """Serve POST /x with this content. The handler returns the body, with the text of each file."""
    engine.formats["binary"] = lambda _: True
    body = f"{{required: {str(required).lower()}, content: {content}}}"
    operation = f"{{tags: [a], operationId: listThings, requestBody: {body}, {more}{ECHO}}}"
    engine.write(document(operation).replace("get:", "post:"))
    engine.handlers.list_things = lambda body: {"body": shown(body)}  # type: ignore[attr-defined]


def shown(value: Any) -> Any:
    """Return a body with the name, the type, the size and the text of each file."""
    if isinstance(value, dict):
        return {name: shown(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shown(part) for part in value]
    if not hasattr(value, "open"):
        return value
    with value.open() as first, value.open() as second:
        assert first.read(1) + first.read() == second.read()
        second.seek(0)
        return [value.filename, value.content_type, value.size, second.read().decode()]


def post(engine: Engine, content: Any, content_type: str | None, **headers: str) -> Any:
    """Send a body of this type, and return the response."""
    return engine.request(
        "/x", "POST", content=content, headers=({"Content-Type": content_type} if content_type else {}) | headers
    )


def faults(response: Any) -> list[str]:
    """Return the pointers and the codes of the faults of a response."""
    assert response.status_code == 400, response.text
    return [f"{fault['pointer']} {fault['code']}" for fault in response.json()["errors"]]


def part(name: str, data: str, filename: str | None = None, content_type: str | None = None) -> bytes:
    """Return one part of a form with files."""
    disposition = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return "\r\n".join(
        ["--b", disposition, *([f"Content-Type: {content_type}"] if content_type else []), "", data, ""]
    ).encode()


def send(engine: Engine, *parts: bytes) -> Any:
    """Send a form with these parts, and return the response."""
    return post(engine, b"".join([*parts, b"--b--\r\n"]), "multipart/form-data; boundary=b")
