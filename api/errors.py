"""Every error a caller can meet, and the one shape they all take (RFC 9457).

ApiError
├── BadRequest             400
│   ├── InvalidInput
│   │   ├── InvalidCursor
│   │   └── PasswordTooGuessable
│   └── MalformedRequest
├── Unauthorized           401
│   ├── InvalidCredentials
│   ├── InvalidRefreshToken
│   ├── InvalidToken
│   ├── MissingToken
│   └── RefreshTokenReused
├── Forbidden              403
│   ├── InsufficientScope
│   └── WrongPassword
├── NotFound               404
├── MethodNotAllowed       405
├── RequestTooSlow         408
├── Conflict               409
│   ├── EmailTaken
│   └── UsernameTaken
├── BodyTooLarge           413
├── UnsupportedMediaType   415
├── HeadersTooLarge        431
├── InternalError          500
├── Unavailable            503
│   ├── DatabaseUnavailable
│   │   └── TransactionsClash
│   ├── MigrationsBehind
│   ├── ServiceStopping
│   └── TooBusy
└── LibraryError           what Flask, Werkzeug, Starlette or Connexion raised
"""

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException as StarletteHTTPException
from werkzeug.exceptions import HTTPException


class Fault(NamedTuple):
    """One thing wrong with a request; `pointer` is a JSON Pointer (RFC 6901) to it, never its value."""

    pointer: str
    code: str
    detail: str


_RFC_9110 = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def _phrase(status: HTTPStatus) -> str:
    """The status in the words of RFC 9110, section 15, which older Pythons do not have yet."""
    return _RFC_9110.get(status, status.phrase)


class ApiError(Exception):
    """A fact with a code; what the class says is what the caller reads."""

    status: HTTPStatus
    code: str
    message: str
    remembered = False
    """Whether what was written before it was raised is kept, as evidence."""
    repeatable = False
    """Whether nothing was kept, and the same may succeed at once."""

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.code)
        self.detail = detail or self.message
        self.headers = dict(headers or {})

    def problem(self) -> dict[str, Any]:
        """The members of the answer's body."""
        return {
            "type": "about:blank",
            "title": _phrase(self.status),
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
        }


# A small request can break a rule in each of thousands of items; the contract bounds the answer.
_MOST_FAULTS = 100


class BadRequest(ApiError):
    status = HTTPStatus.BAD_REQUEST


class InvalidInput(BadRequest):
    """The request breaks rules of the contract; `faults` holds every one of them, the answer the first 100."""

    code = "INVALID_INPUT"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        rules = "1 rule" if len(self.faults) == 1 else f"{len(self.faults)} rules"
        super().__init__(f"The request breaks {rules} of the contract.")

    def problem(self) -> dict[str, Any]:
        return super().problem() | {"errors": [fault._asdict() for fault in self.faults[:_MOST_FAULTS]]}


class InvalidCursor(InvalidInput):
    """The cursor is not one that this list ended a page with, for this user."""

    def __init__(self) -> None:
        super().__init__([Fault("/query/cursor", "WRONG_FORMAT", "It is no next_cursor of this list.")])


class PasswordTooGuessable(InvalidInput):
    """The password holds what a stranger would try first; `name` is its property of the body."""

    def __init__(self, name: str) -> None:
        detail = "It holds the username or the part of the email before the @."
        super().__init__([Fault(f"/body/{name}", "TOO_GUESSABLE", detail)])


class MalformedRequest(BadRequest):
    code = "MALFORMED_REQUEST"
    message = "This is not an HTTP request the server understands."


class Unauthorized(ApiError):
    """Carries the challenge that RFC 9110, section 11.6.1, asks of every 401."""

    status = HTTPStatus.UNAUTHORIZED
    challenge: str = "Bearer"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": self.challenge})


class InvalidCredentials(Unauthorized):
    code = "INVALID_CREDENTIALS"
    message = "The username or the password is wrong."


class InvalidRefreshToken(Unauthorized):
    code = "INVALID_REFRESH_TOKEN"
    message = "The refresh token is unknown or expired, or its session is over."


class InvalidToken(Unauthorized):
    code = "INVALID_TOKEN"
    message = "The access token is malformed, expired or revoked."
    challenge = 'Bearer error="invalid_token"'


class MissingToken(Unauthorized):
    code = "MISSING_TOKEN"
    message = "This operation needs an access token: Authorization: Bearer <access_token>."


class RefreshTokenReused(Unauthorized):
    """Somebody else may hold the token: that its session ended is kept (RFC 9700, section 4.14.2)."""

    code = "REFRESH_TOKEN_REUSED"
    message = "The refresh token was used before. Its session is over, for somebody may have stolen it."
    remembered = True


class Forbidden(ApiError):
    status = HTTPStatus.FORBIDDEN


class InsufficientScope(Forbidden):
    """The token is good, but not for this operation (RFC 6750, section 3.1)."""

    code = "INSUFFICIENT_SCOPE"
    message = "The access token lacks a scope that this operation requires."

    def __init__(self, required: Iterable[str]) -> None:
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(required)}"'
        super().__init__(headers={"WWW-Authenticate": challenge})


class WrongPassword(Forbidden):
    code = "WRONG_PASSWORD"
    message = "The current password is another."


class NotFound(ApiError):
    status = HTTPStatus.NOT_FOUND
    code = "NOT_FOUND"
    message = "There is nothing here."


class MethodNotAllowed(ApiError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Iterable[str]) -> None:
        allow = ", ".join(sorted(allowed))
        super().__init__(f"This path takes {allow}.", headers={"Allow": allow})


class RequestTooSlow(ApiError):
    status = HTTPStatus.REQUEST_TIMEOUT
    code = "REQUEST_TOO_SLOW"
    message = "The request did not arrive in time."

    def __init__(self) -> None:
        super().__init__(headers={"Connection": "close"})


class Conflict(ApiError):
    status = HTTPStatus.CONFLICT


class EmailTaken(Conflict):
    code = "EMAIL_TAKEN"
    message = "That email is already used."


class UsernameTaken(Conflict):
    code = "USERNAME_TAKEN"
    message = "That username is already used."


class BodyTooLarge(ApiError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "BODY_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.", headers={"Connection": "close"})


class UnsupportedMediaType(ApiError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "Send application/json in UTF-8, without a content coding."


class HeadersTooLarge(ApiError):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "HEADERS_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The header section is larger than {limit} bytes.", headers={"Connection": "close"})


class InternalError(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"
    message = "The server failed. The log tells why, under this answer's X-Request-ID."


class Unavailable(ApiError):
    """Carries the seconds to wait before the next try."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, retry_after: int = 5) -> None:
        super().__init__(headers={"Retry-After": str(retry_after)})


class DatabaseUnavailable(Unavailable):
    code = "DATABASE_UNAVAILABLE"
    message = "The database cannot be reached."


class TransactionsClash(DatabaseUnavailable):
    """Another transaction was first, and nothing of this one was kept: the same may succeed at once."""

    repeatable = True
    message = "Too many others write the same. Ask again."


class MigrationsBehind(Unavailable):
    code = "MIGRATIONS_BEHIND"
    message = "The database's schema is not the one this release needs; run charter migrate."


class ServiceStopping(Unavailable):
    code = "SERVICE_STOPPING"
    message = "This process is about to stop; another one will go on."


class TooBusy(Unavailable):
    code = "TOO_BUSY"
    message = "Too many others are waiting for this. Ask again in as many seconds as Retry-After says."


class LibraryError(ApiError):
    """An HTTP error that Flask, Werkzeug, Starlette or Connexion raised: its status and headers stay, its words do not.

    The code is the status in words, such as FORBIDDEN; an operation that lets one out adds it to the contract.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = HTTPStatus(status)
        self.message = f"{_phrase(self.status)}."
        self.code = re.sub("[^A-Z]+", "_", _phrase(self.status).upper().replace("'", ""))
        challenge = {"WWW-Authenticate": Unauthorized.challenge} if status == HTTPStatus.UNAUTHORIZED else {}
        kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        super().__init__(headers=challenge | kept)


class Answer(NamedTuple):
    """An HTTP answer, ready to send."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer(error: ApiError) -> Answer:
    """The one shape of every error."""
    headers = {"Content-Type": "application/problem+json", **error.headers}
    return Answer(error.status, headers, json.dumps(error.problem(), separators=(",", ":")).encode())


def as_api_error(error: Exception) -> ApiError:
    """A library's HTTP error in our terms; anything unforeseen is a fault of the server."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        status, headers = error.code, dict(error.get_headers())
    elif isinstance(error, StarletteHTTPException):
        status, headers = error.status_code, dict(error.headers or {})
    else:
        return InternalError()
    return LibraryError(status, headers) if status in _TRANSLATED else InternalError()


_TRANSLATED = {status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST} - {InternalError.status}
