"""Assemble the layers. Middlewares of Connexion are used where they do the job."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from connexion import ConnexionMiddleware
from connexion.exceptions import InvalidSpecification, ResolverError
from connexion.middleware.lifespan import Lifespan
from connexion.resolver import Resolver
from inflection import underscore
from jsonschema import ValidationError

from api.contract.dispatch.handlers import HandlerDispatch, LifespanStep
from api.contract.dispatch.view import HandlerResources
from api.contract.document.checks import check_formats
from api.contract.document.model import Contract, ContractError, Json
from api.contract.document.publication import located
from api.contract.middleware.body import BodyMiddleware
from api.contract.middleware.docs import DocsMiddleware
from api.contract.middleware.edge import EdgeMiddleware, Observer
from api.contract.middleware.request_validation import StrictRequestValidation
from api.contract.middleware.response_validation import ResponseValidationMiddleware
from api.contract.middleware.routing import Router, RoutingMiddleware
from api.contract.middleware.security import Authenticate, Bearer, SecurityStep
from api.contract.schema.formats import STANDARD, Format


def assemble(
    contract: Contract,
    *,
    handlers: str,
    identify: Authenticate,
    formats: Mapping[str, Format],
    serving: HandlerResources,
    lifespan: Lifespan,
    body_bytes: int,
    body_seconds: float,
    check_answers: bool,
    observers: Sequence[Observer] = (),
    public_url: str = "",
) -> ConnexionMiddleware:
    """Return the ASGI application that serves `contract`. Operations are resolved now, not on the first request.

    Raises ContractError if the contract cannot be served.
    """
    executable = contract.executable(handlers)
    routes = Router(executable)
    formats = {**STANDARD, **formats}
    check_formats(contract.document, formats)
    promised = located(contract, public_url)
    outermost = [partial(ResponseValidationMiddleware, contract=promised, routes=routes, formats=formats)]
    layers = [
        *(outermost if check_answers else []),
        partial(EdgeMiddleware, observers=observers),
        partial(DocsMiddleware, title=contract.title),
        partial(RoutingMiddleware, routes=routes),
        partial(BodyMiddleware, limit=body_bytes, seconds=body_seconds),
        SecurityStep,
        StrictRequestValidation,
        LifespanStep,
    ]
    app = ConnexionMiddleware(HandlerDispatch(handlers), import_name=handlers, middlewares=layers, lifespan=lifespan)
    options = {"security_map": {"bearer": partial(Bearer, identify)}, "formats": formats, "serving": serving}
    _resolve(app, executable.document, options)
    return app


def _resolve(app: ConnexionMiddleware, document: Json, options: dict[str, Any]) -> None:
    """Add a document to the application and resolve its operations. Raises ContractError if it cannot be served."""
    try:
        app.add_api(document, resolver=Resolver(_function), **options)
        # Connexion would build this on the first request, and report a missing handler only then.
        app.app, app.middleware_stack = app._build_middleware_stack()
    except InvalidSpecification as error:
        cause = _cause(error)
        raise ContractError(f"{' > '.join(map(str, cause.absolute_path))}: {cause.message}") from None
    except ResolverError as error:
        raise ContractError(str(error)) from None
    except RecursionError:
        raise ContractError("recursive schemas are not supported") from None


def _cause(error: ValidationError) -> ValidationError:
    """Return the most deeply nested cause of an error.

    At equal depth, an unknown property explains more than a missing reference.
    """
    while error.context:
        error = max(error.context, key=lambda part: (len(part.absolute_path), part.validator == "additionalProperties"))
    return error


def _function(address: str) -> Callable[..., Any]:
    """Return the handler at an address: `api.handlers.auth.signUp` is `sign_up` in `api/handlers/auth.py`.

    Raises ContractError if the module or the function is not found.
    """
    module, _, operation_id = address.rpartition(".")
    name, file = underscore(operation_id), f"{module.replace('.', '/')}.py"
    try:
        function = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ContractError(f"{operation_id}: {file} not found") from None
    if not callable(function):
        raise ContractError(f"{operation_id}: {file} has no function {name}")
    return function  # type: ignore[no-any-return]
