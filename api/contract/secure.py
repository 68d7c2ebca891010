"""Who is calling: the bearer scheme of the contract, asked through Connexion's SecurityMiddleware."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from connexion.lifecycle import ConnexionRequest
from connexion.security import AbstractSecurityHandler

from api.errors import InsufficientScope, MissingToken


class Caller(Protocol):
    """Who is calling, as far as the contract asks: the scopes of the token."""

    @property
    def scopes(self) -> frozenset[str]: ...


Identify = Callable[[str], Awaitable[Caller]]
"""From a bearer token to whoever holds it; raises an ApiError when nobody does."""


class Bearer(AbstractSecurityHandler):
    """Reads the token from the header `Authorization` alone (RFC 6750, section 2.1) and asks `identify`."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Callable[..., Awaitable[Any]]:
        return partial(self._verify, required_scopes)

    async def _verify(self, required_scopes: list[str], request: ConnexionRequest) -> dict[str, Any]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise MissingToken()
        caller = await self._identify(token.strip(" "))
        if not caller.scopes.issuperset(required_scopes):
            raise InsufficientScope(required_scopes)
        request.context["identity"] = caller
        # Connexion wants a mapping of its own; nobody here reads it.
        return {}
