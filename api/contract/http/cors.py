"""Cross-origin resource sharing: the headers with which browsers let pages of other origins read responses."""

from collections.abc import Collection, Iterable

from api.contract.document.model import Contract
from api.contract.http.response import Headers

_PREFLIGHT_SECONDS = 600
_REQUEST_HEADERS = {"authorization", "content-type", "idempotency-key", "traceparent"}
_RESPONSE_HEADERS = {"location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate", "x-request-id"}
# Browsers set these, and scripts cannot.
_OF_BROWSERS = {"cookie", "origin", "sec-fetch-site"}
# The Fetch standard lets scripts read these of every response. Accept repeats what the contract says about a 415. No
# script can read Set-Cookie.
_NOT_LISTED = {
    "accept",
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
    "set-cookie",
}


class Cors:
    """The headers of responses to requests of browsers. `origins` are the origins that may read the responses.

    With `credentials`, their pages may send cookies.
    Header parameters and response headers of the contract are allowed as well as those that all APIs use.
    """

    def __init__(self, origins: Collection[str], contract: Contract, *, credentials: bool = False) -> None:
        readable = ", ".join(sorted(_RESPONSE_HEADERS | _declared(contract)))
        accepted = ", ".join(sorted(_REQUEST_HEADERS | _parameters(contract)))
        self._preflight = [
            (b"access-control-allow-headers", accepted.encode()),
            (b"access-control-max-age", b"%d" % _PREFLIGHT_SECONDS),
        ]
        cookies = [(b"access-control-allow-credentials", b"true")] if credentials else []
        self._allowed = {
            origin.encode(): [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", readable.encode()),
                *cookies,
            ]
            for origin in origins
        }

    def complete(self, headers: Headers, origin: bytes | None) -> Headers:
        """Return the headers of a response to a request of this origin."""
        # A cache must not use this response for another origin.
        varies = [value for name, value in headers if name == b"vary"]
        others = [header for header in headers if header[0] != b"vary"]
        vary = (b"vary", b", ".join([*varies, b"Origin"]))
        return [*others, vary, *self._allowed.get(origin or b"", ())]

    def preflight(self, origin: bytes, methods: Iterable[str]) -> Headers:
        """Return the further headers of the response to a preflight request, for a path with these methods."""
        if origin not in self._allowed or not methods:
            return []
        return [(b"access-control-allow-methods", ", ".join(methods).encode()), *self._preflight]


def _declared(contract: Contract) -> set[str]:
    """Return the names of the headers of all responses."""
    names = {
        name.lower()
        for operation in contract.operations()
        for response in operation.responses.values()
        for name in response.get("headers", {})
    }
    return {name for name in names - _NOT_LISTED if not name.startswith("access-control-")}


def _parameters(contract: Contract) -> set[str]:
    """Return the names of the headers that operations and security schemes read."""
    schemes = contract.document.get("components", {}).get("securitySchemes", {}).values()
    parameters = [parameter for operation in contract.operations() for parameter in operation.parameters]
    names = {str(part["name"]).lower() for part in [*parameters, *schemes] if part.get("in") == "header"}
    return names - _OF_BROWSERS
