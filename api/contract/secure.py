"""Who is calling: the bearer scheme of the contract, asked through Connexion's SecurityMiddleware."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation
from connexion.security import AbstractSecurityHandler
from starlette.types import Receive, Scope, Send

from api.contract.framing import FIELDS
from api.contract.route import CONTEXT, step
from api.errors import InsufficientScope, MissingToken


class Caller(Protocol):
    """Who is calling, as far as the contract asks: the scopes of the token."""

    @property
    def scopes(self) -> frozenset[str]: ...


Identify = Callable[[str], Awaitable[Caller]]
"""From a bearer token to whoever holds it; raises an ApiError when nobody does."""


class Request(NamedTuple):
    """What Connexion's security functions are given: a ConnexionRequest without the 10 us that it takes to make one."""

    scope: Scope
    context: dict[str, Any]


class Bearer(AbstractSecurityHandler):
    """Reads the token from the header `Authorization` alone (RFC 6750, section 2.1) and asks `identify`."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Callable[..., Awaitable[Any]]:
        return partial(self._verify, required_scopes)

    async def _verify(self, required_scopes: list[str], request: Request) -> dict[str, Any]:
        fields = request.scope["extensions"][FIELDS]
        scheme, _, token = fields.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise MissingToken()
        caller = await self._identify(token.strip(" "))
        if not caller.scopes.issuperset(required_scopes):
            raise InsufficientScope(required_scopes)
        request.context["identity"] = caller
        # Connexion wants a mapping of its own; nobody here reads it.
        return {}


class SecuredOperation(SecurityOperation):
    """An operation behind the security that the contract asks for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.security:
            await self.verification_fn(Request(scope, scope["extensions"][CONTEXT]))
        await self.next_app(scope, receive, send)


class SecuredApi(SecurityAPI):
    """The operations of one document."""

    def make_operation(self, operation: Any) -> SecuredOperation:
        factory = self.security_handler_factory
        made: SecuredOperation = SecuredOperation.from_operation(
            operation, next_app=step(self.next_app, operation.operation_id), security_handler_factory=factory
        )
        return made


class Secure(SecurityMiddleware):
    """Connexion's security step."""

    api_cls = SecuredApi
