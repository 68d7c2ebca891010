"""The error catalogue: every error that a client can receive, in one shape (RFC 9457).

The classes of ApiError, with their status and their subclasses:

- BadRequest             400  InvalidInput (InvalidCursor), MalformedRequest
- Unauthorized           401  InvalidCredentials, InvalidRefreshToken, InvalidToken (InvalidApiKey), MissingToken,
                              RefreshTokenReused, StepUpRequired
- Forbidden              403  EmailUnverified, ForeignOrigin, InsufficientScope, InvalidCode, SwitchedOff, WrongPassword
- NotFound               404  UnknownPath
- MethodNotAllowed       405
- RequestTooSlow         408
- Conflict               409  AlreadyVerified, EmailTaken, ExpiryOutOfRange, LastAdmin, MailNotDead, OwnUser,
                              PasswordContainsName, ServiceNameTaken, TooManyKeys, TooManyNames, UsernameTaken
- BodyTooLarge           413
- UnsupportedMediaType   415
- RateLimited            429
- HeadersTooLarge        431
- InternalError          500
- Unavailable            503  DatabaseUnavailable (TransactionConflict), MailUnavailable, MigrationsBehind,
                              ServiceStopping, TooBusy
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """A broken rule of a request. `pointer` is a JSON Pointer (RFC 6901) to the invalid part, without its value."""

    pointer: str
    code: str
    detail: str


_RFC_9110 = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def phrase_of(status: HTTPStatus) -> str:
    """Return the reason phrase of RFC 9110, section 15. Older Python versions still have the previous phrases."""
    return _RFC_9110.get(status, status.phrase)


class ApiError(Exception):
    """An error response: the class attributes are its status, its stable code and its detail."""

    status: HTTPStatus
    code: str
    message: str
    commits = False
    """True if raising this error commits the transaction, because its writes are evidence."""
    retryable = False
    """True if the transaction was rolled back and a retry may succeed at once."""
    oauth_error: str | None = None
    """The error of RFC 6749, section 5.2, which only operations with `x-oauth-errors` return."""

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.code)
        self.detail = detail or self.message
        self.headers = dict(headers or {})

    def problem(self) -> dict[str, Any]:
        """Return the members of the response body."""
        return {
            "type": "about:blank",
            "title": phrase_of(self.status),
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
        }


# A small request can break a rule in thousands of items, and the contract limits the size of the response.
_MOST_FAULTS = 100


class BadRequest(ApiError):
    status = HTTPStatus.BAD_REQUEST
    oauth_error = "invalid_request"


class InvalidInput(BadRequest):
    """The request breaks rules. The response has the first 100 of `faults`, which are at most 1,000 for each value."""

    code = "INVALID_INPUT"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        rules = "1 rule" if len(self.faults) == 1 else f"{len(self.faults)} rules"
        super().__init__(f"The request breaks {rules} of the contract.")

    def problem(self) -> dict[str, Any]:
        return super().problem() | {"errors": [fault._asdict() for fault in self.faults[:_MOST_FAULTS]]}


class InvalidCursor(InvalidInput):
    """The cursor was not issued for this list and this user."""

    def __init__(self) -> None:
        super().__init__([Fault("/query/cursor", "WRONG_FORMAT", "Not a valid cursor for this list.")])


class MalformedRequest(BadRequest):
    code = "MALFORMED_REQUEST"
    message = "Not a valid HTTP request."


class Unauthorized(ApiError):
    """A 401 response, with the challenge that RFC 9110, section 11.6.1, requires."""

    status = HTTPStatus.UNAUTHORIZED
    challenge: str = "Bearer"
    oauth_error = "invalid_client"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": self.challenge})


class InvalidCredentials(Unauthorized):
    code = "INVALID_CREDENTIALS"
    message = "The username or the password is wrong."


class InvalidRefreshToken(Unauthorized):
    code = "INVALID_REFRESH_TOKEN"
    message = "The refresh token is unknown or expired, or its session has ended. Log in again."


class InvalidToken(Unauthorized):
    code = "INVALID_TOKEN"
    message = "The access token is malformed, expired or revoked. Refresh it or log in again."
    challenge = 'Bearer error="invalid_token"'
    oauth_error = "invalid_token"


class InvalidApiKey(InvalidToken):
    message = "The API key is malformed, expired or revoked. Create a new one."


class MissingToken(Unauthorized):
    """The request has no credential. `how` describes how to send one of another kind than an access token."""

    code = "MISSING_TOKEN"
    message = "This operation requires an access token. Send Authorization: Bearer <access_token>."

    def __init__(self, how: str = "") -> None:
        super().__init__()
        self.detail = f"This operation requires a credential. Send {how}." if how else self.message


class RefreshTokenReused(Unauthorized):
    """The token may be stolen, so the end of its session is committed (RFC 9700, section 4.14.2)."""

    code = "REFRESH_TOKEN_REUSED"
    message = "The refresh token was already used and may be stolen. Its session has ended. Log in again."
    commits = True


class StepUpRequired(Unauthorized):
    """The token is valid, but its user gave the password more than `max_age` seconds ago (RFC 9470, section 3)."""

    code = "STEP_UP_REQUIRED"
    message = "This operation requires a recent proof of identity. Call stepUp, or log in again."

    def __init__(self, max_age: int) -> None:
        super().__init__()
        self.headers["WWW-Authenticate"] = f'Bearer error="insufficient_user_authentication", max_age="{max_age}"'


class Forbidden(ApiError):
    status = HTTPStatus.FORBIDDEN


class EmailUnverified(Forbidden):
    """The password is right, and a mail that verifies the email follows, so this error is committed."""

    code = "EMAIL_UNVERIFIED"
    message = "Your email is not verified. Open the mail that was sent to it."
    commits = True


class ForeignOrigin(Forbidden):
    """A page of an origin that is not listed, or no page at all, wants to use the cookie."""

    code = "FOREIGN_ORIGIN"
    message = "Pages of this origin must not use the cookie. The operator lists origins in CHARTER_CORS_ORIGINS."


class InsufficientScope(Forbidden):
    """The token is valid but lacks a scope of this operation (RFC 6750, section 3.1)."""

    code = "INSUFFICIENT_SCOPE"
    message = "The credential lacks a scope that WWW-Authenticate may list, or the operation is for users."
    oauth_error = "insufficient_scope"

    def __init__(self, required: Iterable[str], *, is_bearer: bool = True) -> None:
        """`required` is empty if the operation requires a user instead of a scope."""
        scope = " ".join(required)
        challenge = 'Bearer error="insufficient_scope"' + (f', scope="{scope}"' if scope else "")
        super().__init__(headers={"WWW-Authenticate": challenge} if is_bearer else {})


class InvalidCode(Forbidden):
    """A one-time code that is unknown, used or expired, or was sent for another purpose."""

    code = "INVALID_CODE"
    message = "The code is wrong, used or expired. Request a new one."


class SwitchedOff(Forbidden):
    """The settings of this server switch the feature of the operation off."""

    code = "SWITCHED_OFF"
    message = "This server has switched this operation off."


class WrongPassword(Forbidden):
    code = "WRONG_PASSWORD"
    message = "The current password is wrong."


class NotFound(ApiError):
    status = HTTPStatus.NOT_FOUND
    code = "NOT_FOUND"
    message = "The resource does not exist."


class UnknownPath(NotFound):
    """The contract has no operation with this path."""

    message = "No operation has this path."


class MethodNotAllowed(ApiError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = sorted(allowed)
        allow = ", ".join(self.allowed)
        super().__init__(f"Allowed methods: {allow}.", headers={"Allow": allow})


class RequestTooSlow(ApiError):
    status = HTTPStatus.REQUEST_TIMEOUT
    code = "REQUEST_TOO_SLOW"
    message = "The request did not arrive in time. Send it again, or use a faster connection."

    def __init__(self) -> None:
        super().__init__(headers={"Connection": "close"})


class Conflict(ApiError):
    status = HTTPStatus.CONFLICT


class AlreadyVerified(Conflict):
    code = "ALREADY_VERIFIED"
    message = "Your email is already verified."


class EmailTaken(Conflict):
    code = "EMAIL_TAKEN"
    message = "That email is already in use."


class LastAdmin(Conflict):
    code = "LAST_ADMIN"
    message = "This user is the only admin. Make another user an admin first."


class MailNotDead(Conflict):
    code = "MAIL_NOT_DEAD"
    message = "Only a dead mail can be sent again."


class OwnUser(Conflict):
    code = "OWN_USER"
    message = "This is your own user. Another admin can do this."


class ExpiryOutOfRange(Conflict):
    """The time is past or too late. No schema can state this rule, so it is not a 400."""

    code = "EXPIRY_OUT_OF_RANGE"
    message = "The key must expire in the future, but not later than this server or the key allows."


class PasswordContainsName(Conflict):
    """The password contains the username or part of the email. No schema can state this rule, so it is not a 400."""

    code = "PASSWORD_CONTAINS_NAME"
    message = "The password must not contain the username or the part of the email before the @."


class ServiceNameTaken(Conflict):
    code = "SERVICE_NAME_TAKEN"
    message = "Another service account has that name."


class TooManyKeys(Conflict):
    code = "TOO_MANY_KEYS"
    message = "You have 50 API keys. Revoke one first."


class TooManyNames(Conflict):
    code = "TOO_MANY_NAMES"
    message = "You have given up three usernames in 24 hours. Try again later."


class UsernameTaken(Conflict):
    code = "USERNAME_TAKEN"
    message = "That username is already in use."


class BodyTooLarge(ApiError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "BODY_TOO_LARGE"

    def __init__(self, limit: int, unit: str = "bytes", part: str = "body") -> None:
        super().__init__(f"The {part} is larger than {limit} {unit}.", headers={"Connection": "close"})


class UnsupportedMediaType(ApiError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "Send the header Content-Type: application/json and an uncompressed body in UTF-8."

    def __init__(self, accepted: Iterable[str] = ("application/json",)) -> None:
        """`accepted` are the media types of the operation."""
        media_types = list(accepted)
        super().__init__(f"Send the header Content-Type: {' or '.join(media_types)} and an uncompressed body in UTF-8.")
        if media_types != ["application/json"]:
            self.headers["Accept"] = ", ".join(media_types)


class RateLimited(ApiError):
    """A rate limit refuses the request. `retry_after` is the number of seconds until the next attempt may succeed."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "RATE_LIMITED"
    message = "Too many requests. Try again after the number of seconds in Retry-After."

    def __init__(self, retry_after: int = 1, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={"Retry-After": str(retry_after), **(headers or {})})


class HeadersTooLarge(ApiError):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "HEADERS_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The header section is larger than {limit} bytes.", headers={"Connection": "close"})


class InternalError(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"
    message = "An internal error occurred. The server's log has the cause under this response's X-Request-ID."


class Unavailable(ApiError):
    """A 503 response. `retry_after` is the number of seconds to wait before the next attempt."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, retry_after: int = 5) -> None:
        super().__init__(headers={"Retry-After": str(retry_after)})


class DatabaseUnavailable(Unavailable):
    code = "DATABASE_UNAVAILABLE"
    message = "The database cannot be used now. Try again after the number of seconds in Retry-After."


class TransactionConflict(DatabaseUnavailable):
    """A concurrent transaction caused a rollback of this one, so a retry may succeed at once."""

    retryable = True
    message = "The request conflicted with others. Try again."


class MailUnavailable(Unavailable):
    code = "MAIL_UNAVAILABLE"
    message = "This service cannot send mail. Its operator must set CHARTER_SMTP_URL."


class MigrationsBehind(Unavailable):
    code = "MIGRATIONS_BEHIND"
    message = "The database is at another revision. Run charter migrate of the newest release and start it."


class ServiceStopping(Unavailable):
    code = "SERVICE_STOPPING"
    message = "The server is shutting down. Try again."


class TooBusy(Unavailable):
    code = "TOO_BUSY"
    message = "The server is busy. Try again after the number of seconds in Retry-After."
