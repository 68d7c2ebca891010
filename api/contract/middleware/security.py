"""Authentication of the caller by the security schemes of the contract, on Connexion's SecurityMiddleware."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from connexion.middleware.security import SecurityAPI, SecurityMiddleware, SecurityOperation
from starlette.types import ASGIApp, Receive, Scope, Send

from api import clock
from api.contract.document.model import ContractError
from api.contract.document.operation import Operation
from api.contract.http.scope import arguments_of, fields_of, set_identity
from api.contract.middleware.credentials import Authenticate, Authenticated, Identity, Scheme, make_scheme
from api.contract.middleware.routing import next_app
from api.errors import (
    ApiError,
    InsufficientScope,
    MissingToken,
    StepUpRequired,
    SwitchedOff,
    Unauthorized,
)

Verify = Callable[[Scope], Awaitable[None]]
"""Stores the caller of a request in its scope. Raises an ApiError if the request does not satisfy the security."""


def make_verification(operation: Operation, functions: Mapping[str, Authenticate]) -> Verify | None:
    """Return the verification that an operation requires, or None if it is public.

    Raises ContractError if a scheme is not defined, has no function, or is not supported.
    """
    if not operation.security:
        return None
    if {} in operation.security and operation.scopes:
        raise ContractError("x-scopes requires a token, but security does not")
    defined = operation.document.get("components", {}).get("securitySchemes", {})
    for requirement in operation.security:
        for name in requirement:
            if name not in defined:
                message = f"the security scheme {name!r} is not defined in components.securitySchemes"
                raise ContractError(message, at=requirement)
    schemes = {
        name: make_scheme(name, operation.document, functions)
        for requirement in operation.security
        for name in requirement
    }
    alternatives = [
        [_Check(schemes[name], [*dict.fromkeys([*scopes, *operation.scopes])]) for name, scopes in requirement.items()]
        for requirement in operation.security
    ]
    is_single = len(alternatives) == 1 and len(alternatives[0]) == 1
    verify = alternatives[0][0].verify if is_single else _Alternatives(alternatives, [*schemes.values()]).verify
    return verify if operation.step_up_seconds is None else _with_step_up(verify, operation.step_up_seconds)


def _with_step_up(verify: Verify, seconds: int) -> Verify:
    """Return a verification that also requires a proof of identity in the last seconds, as `x-step-up` states."""
    max_age = timedelta(seconds=seconds)

    async def verify_age(scope: Scope) -> None:
        await verify(scope)
        caller: Authenticated = arguments_of(scope)["identity"]
        if clock.now() - caller.authenticated_at > max_age:
            raise StepUpRequired(seconds)

    return verify_age


class _Check:
    """One scheme of an operation, and the scopes that the caller needs."""

    def __init__(self, scheme: Scheme, scopes: list[str]) -> None:
        self.scheme = scheme
        self._scopes = scopes

    async def verify(self, scope: Scope) -> None:
        """Verify the credential, and store the caller."""
        try:
            found = self.scheme.find(scope)
            if found is None:
                raise missing([self.scheme])
            caller = await self.identify(*found)
        except Unauthorized as error:
            raise challenged(error, self.scheme, []) from None
        set_identity(scope, caller)

    async def identify(self, *credential: str) -> Identity:
        """Return the caller. Raises InsufficientScope if it lacks a scope, or needs one to call any operation."""
        caller = await self.scheme.verify(*credential)
        if not caller.scopes.issuperset(self._scopes) or (getattr(caller, "needs_scopes", False) and not self._scopes):
            raise InsufficientScope(self._scopes, is_bearer=self.scheme.is_bearer)
        return caller


def missing(schemes: list[Scheme]) -> Unauthorized:
    """Return the error for a request without credentials."""
    if all(scheme.is_bearer for scheme in schemes):
        return MissingToken()
    return MissingToken(" or ".join(dict.fromkeys(scheme.how for scheme in schemes)))


def challenged(error: Unauthorized, failed: Scheme | None, others: list[Scheme]) -> Unauthorized:
    """Return the error with a challenge for each scheme (RFC 9110, section 11.6.1)."""
    own = []
    if failed is not None:
        given = error.headers.get("WWW-Authenticate", "")
        kind = failed.challenge.split(" ")[0]
        own = [given if given.split(" ")[0] == kind else failed.challenge]
    # Bearer schemes that differ in their prefixes share a challenge.
    known = failed.challenge if failed is not None else None
    challenges = [*own, *(scheme.challenge for scheme in others if scheme.challenge != known)]
    error.headers["WWW-Authenticate"] = ", ".join(dict.fromkeys(challenges))
    return error


class _Alternatives:
    """Several requirements, of which one must be satisfied, each with any number of schemes."""

    def __init__(self, alternatives: list[list[_Check]], schemes: list[Scheme]) -> None:
        self._alternatives = alternatives
        self._schemes = schemes
        self._optional = [] in alternatives

    async def verify(self, scope: Scope) -> None:
        """Store the caller of the first satisfied requirement.

        With several schemes, the caller is a mapping from their names to their callers. It is None without credentials
        where they are optional. An invalid credential is an error there, too.
        """
        rejection: ApiError | None = None
        for checks in filter(None, self._alternatives):
            try:
                callers = await self._callers(scope, checks)
            except ApiError as error:
                rejection = rejection or error
                continue
            if callers is not None:
                set_identity(scope, callers if len(checks) > 1 else next(iter(callers.values())))
                return
        if rejection is not None:
            raise rejection
        # An Authorization of an unknown scheme is not anonymous.
        if not self._optional or (self._schemes and b"authorization" in fields_of(scope)):
            raise challenged(missing(self._schemes), None, self._schemes)
        set_identity(scope, None)

    async def _callers(self, scope: Scope, checks: list[_Check]) -> dict[str, Identity] | None:
        """Return the callers by scheme, or None if a credential is missing."""
        found = []
        for check in checks:
            try:
                found.append(check.scheme.find(scope))
            except Unauthorized as error:
                raise challenged(error, check.scheme, self._schemes) from None
        callers: dict[str, Identity] = {}
        for check, credential in zip(checks, found, strict=True):
            if credential is None:
                continue
            try:
                callers[check.scheme.name] = await check.identify(*credential)
            except Unauthorized as error:
                raise challenged(error, check.scheme, self._schemes) from None
        # An invalid credential is an error even if another one is missing.
        return None if None in found else callers


async def _reject(_: Scope) -> None:
    """Reject every request, before it counts against a rate limit."""
    raise SwitchedOff()


class SecuredOperation(SecurityOperation):
    """An operation behind the security that the contract requires."""

    def __init__(self, following: ASGIApp, verify: Verify | None) -> None:
        self._following = following
        self._verify = verify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._verify is not None:
            await self._verify(scope)
        await self._following(scope, receive, send)


class SecuredApi(SecurityAPI):
    """The operations of one document. `authenticators` are the functions of its security schemes by name."""

    def __init__(
        self,
        *args: Any,
        operations: Mapping[str, Operation],
        authenticators: Mapping[str, Authenticate],
        **kwargs: Any,
    ) -> None:
        self._operations = operations
        self._authenticators = authenticators
        super().__init__(*args, **kwargs)

    def make_operation(self, operation: Any) -> SecuredOperation:
        address = operation.operation_id
        served = self._operations[address]
        verify = _reject if served.is_switched_off else make_verification(served, self._authenticators)
        return SecuredOperation(next_app(self.next_app, address), verify)


class SecurityStep(SecurityMiddleware):
    """Connexion's security step."""

    api_cls = SecuredApi
