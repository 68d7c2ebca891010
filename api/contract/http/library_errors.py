"""HTTP errors of Flask, Werkzeug, Starlette and Connexion, as errors of the API."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException as StarletteHTTPException
from werkzeug.exceptions import HTTPException

from api.errors import ApiError, InternalError, phrase_of


class LibraryError(ApiError):
    """An HTTP error that Flask, Werkzeug, Starlette or Connexion raised.

    The response keeps its status and headers, but not its text. An operation that can raise one must declare the code.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = HTTPStatus(status)
        self.message = f"{phrase_of(self.status)}."
        self.code = re.sub("[^A-Z]+", "_", phrase_of(self.status).upper().replace("'", ""))
        kept = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        super().__init__(headers={**({"WWW-Authenticate": "Bearer"} if status == 401 else {}), **kept})


def as_api_error(error: Exception) -> ApiError:
    """Convert an exception: HTTP errors of the libraries become LibraryError, unexpected ones InternalError."""
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
