"""Assemble the layers. Middlewares of Connexion are used where they do the job."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from traceback import extract_tb
from typing import Any

from connexion import ConnexionMiddleware
from connexion.exceptions import ResolverError
from connexion.middleware.lifespan import Lifespan
from connexion.resolver import Resolver
from inflection import underscore

from api.contract.dispatch.handlers import HandlerDispatch, LifespanStep
from api.contract.dispatch.view import HandlerResources
from api.contract.document.checks import check_formats
from api.contract.document.model import Contract, ContractError
from api.contract.document.publication import located
from api.contract.middleware.body import BodyMiddleware
from api.contract.middleware.credentials import Authenticate
from api.contract.middleware.docs import DocsMiddleware
from api.contract.middleware.edge import EdgeMiddleware, Observer
from api.contract.middleware.request_validation import StrictRequestValidation
from api.contract.middleware.response_validation import ResponseValidationMiddleware
from api.contract.middleware.routing import Router, RoutingMiddleware
from api.contract.middleware.security import SecurityStep
from api.contract.schema.formats import Format, known_formats
from api.contract.schema.schemas import Schemas


def assemble(
    contract: Contract,
    *,
    handlers: str,
    authenticators: Mapping[str, Authenticate],
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

    `authenticators` are the functions of the security schemes by name, each called with the credential of a request.
    Raises ContractError if the contract cannot be served.
    """
    check_formats(contract.document, known_formats(formats))
    routes = Router(contract)
    promised = Schemas(located(contract, public_url).document, formats)
    outermost = [partial(ResponseValidationMiddleware, routes=routes, schemas=promised)] if check_answers else []
    layers = [
        *outermost,
        partial(EdgeMiddleware, observers=observers),
        partial(DocsMiddleware, title=contract.title, prefix=routes.prefix),
        partial(RoutingMiddleware, routes=routes, handlers=handlers),
        partial(BodyMiddleware, limit=body_bytes, seconds=body_seconds),
        SecurityStep,
        StrictRequestValidation,
        LifespanStep,
    ]
    app = ConnexionMiddleware(HandlerDispatch(handlers), import_name=handlers, middlewares=layers, lifespan=lifespan)
    schemas = Schemas(contract.document, formats)
    _resolve(app, contract, handlers, authenticators=authenticators, schemas=schemas, serving=serving)
    return app


def _resolve(app: ConnexionMiddleware, contract: Contract, handlers: str, **options: Any) -> None:
    """Add a contract to the application and resolve its operations. Raises ContractError if it cannot be served."""
    try:
        operations = contract.served_by(handlers)
        app.add_api(contract.skeleton(handlers), resolver=Resolver(_function), operations=operations, **options)
        # Connexion would build this on the first request, and report a missing handler only then.
        app.app, app.middleware_stack = app._build_middleware_stack()
    except ResolverError as error:
        raise ContractError(str(error)) from None


def _unimportable(operation_id: str, file: str, error: ImportError) -> ContractError:
    """Return the error for a handler whose import fails, with the line that fails."""
    # The last frame outside of Python's import system, whose names are like <frozen importlib._bootstrap>.
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    return ContractError(
        f"{operation_id}: {file} cannot be imported: {error}; see {frames[-1].filename}, line {frames[-1].lineno}"
    )


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
            raise _unimportable(operation_id, file, error) from None
        raise ContractError(f"{operation_id}: {file} not found") from None
    except ImportError as error:
        raise _unimportable(operation_id, file, error) from None
    if not callable(function):
        raise ContractError(f"{operation_id}: {file} has no function {name}")
    return function  # type: ignore[no-any-return]
