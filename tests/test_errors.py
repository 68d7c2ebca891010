"""Errors: all have the shape of RFC 9457, and the contract lists every code."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NoReturn

import connexion.exceptions
import flask
import httpx
import pytest
import starlette.exceptions
import werkzeug.exceptions
from starlette.testclient import TestClient
from werkzeug.datastructures import WWWAuthenticate

from api import errors, oauth_errors
from api.errors import ApiError, Fault
from api.services import readiness
from tests.support.databases import on_sqlite
from tests.support.person import Person
from tests.support.shipped import CONTRACT
from tests.support.violations import Violations

DOCUMENT = CONTRACT.document
SCHEMAS = DOCUMENT["components"]["schemas"]
SIGN_UP = "/api/v1/auth/signup"


def catalogue() -> list[type[ApiError]]:
    """Return the error classes that define a code."""

    def below(error: type[ApiError]) -> Iterator[type[ApiError]]:
        for child in error.__subclasses__():
            yield child
            yield from below(child)

    return [error for error in below(ApiError) if "code" in vars(error)]


def phrase_of(status: int) -> str:
    """Return the reason phrase of RFC 9110, which older versions of Python lack for some statuses."""
    newer = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
    return newer.get(status, HTTPStatus(status).phrase)


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return the members of a problem. Assert that it has the common shape and headers."""
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    assert list(body)[:5] == ["type", "title", "status", "detail", "code"]
    assert body["type"] == "about:blank"
    assert (body["status"], body["title"]) == (response.status_code, phrase_of(response.status_code))
    return body


def test_error_codes_and_the_contract_correspond() -> None:
    codes = [error.code for error in catalogue()]
    assert sorted(codes) == SCHEMAS["ProblemCode"]["enum"]


def test_a_response_lists_at_most_100_faults() -> None:
    faults = [Fault(f"/body/{number:03}", "WRONG_TYPE", "Must be a string.") for number in range(1000)]
    body = errors.InvalidInput(faults).problem()
    assert body["errors"] == [fault._asdict() for fault in faults[:100]]
    assert body["detail"] == "The request breaks 1000 rules of the contract."
    assert SCHEMAS["Problem"]["properties"]["errors"]["maxItems"] == 100


def test_all_errors_are_defined_in_the_catalogue() -> None:
    assert {error.__module__ for error in catalogue()} == {"api.errors", "api.oauth_errors"}
    own = [error for error in catalogue() if error.__module__ == "api.errors"]
    assert all(error.__name__ in (errors.__doc__ or "") for error in own)


def test_every_error_code_is_derived_from_its_class_name() -> None:
    spelled = {error.__name__: "".join(f"_{c}" if c.isupper() else c for c in error.__name__) for error in catalogue()}
    assert {error.__name__: error.code for error in catalogue()} == {
        name: words.lstrip("_").upper() for name, words in spelled.items()
    }


Raise = Callable[[], object]


@pytest.fixture
def failing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, violations: Violations
) -> Iterator[Callable[[Raise], httpx.Response]]:
    """A function that returns the response of an operation whose service raises an undeclared error."""

    def ask(raise_: Raise) -> httpx.Response:
        monkeypatch.setattr(readiness, "check", lambda *_: raise_())
        response: httpx.Response = client.get("/ready")
        return response

    yield ask
    violations.found.clear()


def raising(error: Exception) -> Raise:
    def raise_error() -> NoReturn:
        raise error

    return raise_error


@pytest.mark.parametrize(
    ("raise_", "status", "headers"),
    [
        (lambda: flask.abort(400), 400, {}),
        (
            lambda: flask.abort(401, www_authenticate=WWWAuthenticate("basic", {"realm": "x"})),
            401,
            {"www-authenticate": "Basic realm=x"},
        ),
        (lambda: flask.abort(403), 403, {}),
        (lambda: flask.abort(404), 404, {}),
        (lambda: flask.abort(405, valid_methods=["GET", "PUT"]), 405, {"allow": "GET, PUT"}),
        (lambda: flask.abort(409, "secret"), 409, {}),
        (lambda: flask.abort(416, length=7), 416, {"content-range": "bytes */7"}),
        (lambda: flask.abort(418), 418, {}),
        (lambda: flask.abort(429, retry_after=7), 429, {"retry-after": "7"}),
        (lambda: flask.abort(503, retry_after=7), 503, {"retry-after": "7"}),
        (raising(werkzeug.exceptions.BadRequestKeyError("secret")), 400, {}),
        (raising(werkzeug.exceptions.RequestEntityTooLarge("secret")), 413, {}),
        (raising(starlette.exceptions.HTTPException(403, "secret", {"X-Why": "x"})), 403, {"x-why": "x"}),
        (raising(starlette.exceptions.HTTPException(429, headers={"Retry-After": "7"})), 429, {"retry-after": "7"}),
        (raising(connexion.exceptions.BadRequestProblem("secret")), 400, {}),
        (raising(connexion.exceptions.ExtraParameterProblem(param_type="secret", extra_params=["secret"])), 400, {}),
        (raising(connexion.exceptions.Unauthorized("secret")), 401, {}),
        (raising(connexion.exceptions.Forbidden("secret")), 403, {}),
        (raising(connexion.exceptions.UnsupportedMediaTypeProblem("secret")), 415, {}),
        (raising(connexion.exceptions.ProblemException(status=409, detail="secret", ext={"secret": 1})), 409, {}),
        (raising(connexion.exceptions.ProblemException(status=503, headers={"Retry-After": "7"})), 503, {}),
    ],
)
@on_sqlite
def test_library_errors_become_problems_with_the_same_status(
    failing: Callable[[Raise], httpx.Response], raise_: Raise, status: int, headers: dict[str, str]
) -> None:
    response = failing(raise_)
    phrase = phrase_of(status)
    assert problem(response) == {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "detail": f"{phrase}.",
        "code": phrase.upper().replace("'", "").replace(" ", "_"),
    }
    assert headers.items() <= dict(response.headers).items()
    assert "secret" not in str(response.headers) + response.text


class Odd(werkzeug.exceptions.HTTPException):
    code = 499
    description = "secret"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        KeyError("secret"),
        NotImplementedError("secret"),
        RecursionError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        connexion.exceptions.ResolverError("secret"),
        werkzeug.exceptions.InternalServerError("secret"),
        connexion.exceptions.NonConformingResponseBody("secret"),
        Odd(),
        werkzeug.exceptions.HTTPException("secret"),
        starlette.exceptions.HTTPException(499, "secret"),
        starlette.exceptions.HTTPException(299, "secret"),
    ],
)
@on_sqlite
def test_unexpected_exceptions_become_500_without_details(
    failing: Callable[[Raise], httpx.Response], error: Exception
) -> None:
    response = failing(raising(error))
    assert problem(response) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "An internal error occurred. The server's log has the cause under this response's X-Request-ID.",
        "code": "INTERNAL_ERROR",
    }
    assert "secret" not in str(response.headers) + response.text


OWN_ERRORS: dict[Raise, tuple[int, dict[str, str]]] = {
    raising(errors.BodyTooLarge(7)): (413, {"connection": "close"}),
    raising(errors.RequestTooSlow()): (408, {"connection": "close"}),
    raising(errors.DatabaseUnavailable()): (503, {"retry-after": "5"}),
    raising(errors.AlreadyVerified()): (409, {}),
    raising(errors.EmailTaken()): (409, {}),
    raising(errors.EmailUnverified()): (403, {}),
    raising(errors.ForeignOrigin()): (403, {}),
    raising(errors.PasswordContainsName()): (409, {}),
    raising(errors.HeadersTooLarge(7)): (431, {"connection": "close"}),
    raising(errors.StepUpRequired(900)): (
        401,
        {"www-authenticate": 'Bearer error="insufficient_user_authentication", max_age="900"'},
    ),
    raising(errors.InsufficientScope(["a", "b"])): (
        403,
        {"www-authenticate": 'Bearer error="insufficient_scope", scope="a b"'},
    ),
    raising(errors.InternalError()): (500, {}),
    raising(errors.InvalidCode()): (403, {}),
    raising(oauth_errors.InvalidClient()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.InvalidCredentials()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.InvalidInput([Fault("/body", "REQUIRED", "A body is required.")])): (400, {}),
    raising(errors.InvalidRefreshToken()): (401, {"www-authenticate": "Bearer"}),
    raising(oauth_errors.InvalidScope()): (400, {}),
    raising(errors.InvalidToken()): (401, {"www-authenticate": 'Bearer error="invalid_token"'}),
    raising(errors.LastAdmin()): (409, {}),
    raising(errors.MailNotDead()): (409, {}),
    raising(errors.OwnUser()): (409, {}),
    raising(errors.MailUnavailable()): (503, {"retry-after": "5"}),
    raising(errors.MalformedRequest()): (400, {}),
    raising(errors.MethodNotAllowed(["PUT", "GET"])): (405, {"allow": "GET, PUT"}),
    raising(errors.MigrationsBehind()): (503, {"retry-after": "5"}),
    raising(errors.MissingToken()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.NotFound()): (404, {}),
    raising(errors.RateLimited(7, {"RateLimit": "x"})): (429, {"retry-after": "7", "ratelimit": "x"}),
    raising(errors.RefreshTokenReused()): (401, {"www-authenticate": "Bearer"}),
    raising(errors.ServiceNameTaken()): (409, {}),
    raising(errors.ServiceStopping()): (503, {"retry-after": "5"}),
    raising(errors.SwitchedOff()): (403, {}),
    raising(errors.TooBusy(7)): (503, {"retry-after": "7"}),
    raising(errors.ExpiryOutOfRange()): (409, {}),
    raising(errors.TooManyKeys()): (409, {}),
    raising(errors.TooManyNames()): (409, {}),
    raising(oauth_errors.UnsupportedGrantType()): (400, {}),
    raising(oauth_errors.UnsupportedTokenType()): (400, {}),
    raising(errors.UnsupportedMediaType()): (415, {}),
    raising(errors.UsernameTaken()): (409, {}),
    raising(errors.WrongPassword()): (403, {}),
}


@on_sqlite
def test_each_error_class_has_its_status_headers_and_detail(
    failing: Callable[[Raise], httpx.Response],
) -> None:
    seen = set()
    for raise_, (status, headers) in OWN_ERRORS.items():
        response = failing(raise_)
        body = problem(response)
        assert response.status_code == status
        assert headers.items() <= dict(response.headers).items()
        assert body["detail"].endswith(".")
        assert body.keys() - {"errors"} == {"type", "title", "status", "detail", "code"}
        seen.add(body["code"])
    assert seen == {error.code for error in catalogue()}


def test_an_error_in_a_handler_rolls_the_transaction_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, violations: Violations
) -> None:
    monkeypatch.setattr("api.storage.database.Db.after_commit", lambda *_, **__: flask.abort(429, retry_after=7))
    alice = Person(client, "alice")
    assert alice.sign_up().status_code == 429
    violations.found.clear()
    monkeypatch.undo()
    assert alice.sign_up().status_code == 201
