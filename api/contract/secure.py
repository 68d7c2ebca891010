"""Who is calling: the bearer scheme of the contract, asked through Connexion's SecurityMiddleware."""

from collections.abc import Awaitable, Callable
from typing import Any

from connexion.lifecycle import ConnexionRequest
from connexion.security import AbstractSecurityHandler

from api.errors import MissingToken

Identify = Callable[[str], Awaitable[Any]]
"""From a bearer token to whoever holds it; raises an ApiError when nobody does."""


class Bearer(AbstractSecurityHandler):
    """Reads the token from the header `Authorization` alone (RFC 6750, section 2.1) and asks `identify`."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Callable[..., Awaitable[Any]]:
        return self._verify

    async def _verify(self, request: ConnexionRequest) -> dict[str, Any]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise MissingToken()
        request.context["identity"] = await self._identify(token.strip(" "))
        # Connexion wants a mapping of its own; nobody here reads it.
        return {}
