"""Authentication of the caller: the bearer scheme of the contract, on Connexion's SecurityMiddleware."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation
from connexion.security import AbstractSecurityHandler
from starlette.types import Receive, Scope, Send

from api.contract.http.scope import arguments_of, fields_of, set_identity
from api.contract.middleware.routing import next_app
from api.errors import InsufficientScope, MissingToken


class Identity(Protocol):
    """The caller, as far as the contract needs it: the scopes of the token."""

    @property
    def scopes(self) -> frozenset[str]: ...


Authenticate = Callable[[str], Awaitable[Identity]]
"""Returns the caller for a bearer token. Raises an ApiError if the token is invalid."""


class Request(NamedTuple):
    """The argument of Connexion's security functions. It replaces a ConnexionRequest, which takes 10 us to build."""

    scope: Scope
    context: dict[str, Any]


class Bearer(AbstractSecurityHandler):
    """Reads the token from the `Authorization` header only (RFC 6750, section 2.1) and calls `identify`."""

    def __init__(self, identify: Authenticate) -> None:
        self._identify = identify

    def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Callable[..., Awaitable[Any]]:
        return partial(self._verify, required_scopes)

    async def _verify(self, required_scopes: list[str], request: Request) -> dict[str, Any]:
        fields = fields_of(request.scope)
        scheme, _, token = fields.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise MissingToken()
        caller = await self._identify(token.strip(" "))
        if not caller.scopes.issuperset(required_scopes):
            raise InsufficientScope(required_scopes)
        set_identity(request.scope, caller)
        # Connexion requires a mapping, which is never read.
        return {}


class SecuredOperation(SecurityOperation):
    """An operation behind the security that the contract requires."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.security:
            await self.verification_fn(Request(scope, arguments_of(scope)))
        await self.next_app(scope, receive, send)


class SecuredApi(SecurityAPI):
    """The operations of one document."""

    def make_operation(self, operation: Any) -> SecuredOperation:
        factory = self.security_handler_factory
        made: SecuredOperation = SecuredOperation.from_operation(
            operation, next_app=next_app(self.next_app, operation.operation_id), security_handler_factory=factory
        )
        return made


class SecurityStep(SecurityMiddleware):
    """Connexion's security step."""

    api_cls = SecuredApi
