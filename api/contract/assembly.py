"""Assemble the layers. Middlewares of Connexion are used where they do the job."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from connexion import ConnexionMiddleware
from connexion.exceptions import ResolverError
from connexion.middleware.lifespan import Lifespan
from connexion.resolver import Resolver

from api.contract.checking import with_all_faults
from api.contract.dispatch.handlers import HandlerDispatch, LifespanStep
from api.contract.dispatch.lookup import find_handler
from api.contract.dispatch.view import HandlerResources
from api.contract.document.checks import check_formats
from api.contract.document.model import Contract, ContractError
from api.contract.document.publication import located
from api.contract.http.client_addresses import ClientAddresses
from api.contract.http.cors import Cors
from api.contract.middleware.body import BodyMiddleware
from api.contract.middleware.credentials import Authenticate
from api.contract.middleware.docs import DocsMiddleware
from api.contract.middleware.edge import EdgeMiddleware, Observer
from api.contract.middleware.preflight import PreflightMiddleware
from api.contract.middleware.rate_limiting import RateLimiter
from api.contract.middleware.request_validation import StrictRequestValidation
from api.contract.middleware.response_validation import ResponseValidationMiddleware
from api.contract.middleware.routing import Router, RoutingMiddleware
from api.contract.middleware.security import SecurityStep
from api.contract.schema.formats import Format, known_formats
from api.contract.schema.schemas import Schemas

# Connexion logs that an operation cannot be added, but the ContractError that follows gives the reason.
logging.getLogger("connexion.middleware.abstract").setLevel(logging.CRITICAL)


@with_all_faults
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
    clients: ClientAddresses | None = None,
    cors: Cors | None = None,
    public_url: str = "",
    limiter: RateLimiter | None = None,
) -> ConnexionMiddleware:
    """Return the ASGI application that serves `contract`. Operations are resolved now, not on the first request.

    `authenticators` are the functions of the security schemes by name, each called with the credential of a request.
    `clients` finds the addresses of clients, and `cors` lets browsers call the API from pages of other origins. Without
    a `limiter`, the rate limits of the contract do not apply.
    Raises ContractError with all faults if the contract cannot be served.
    """
    check_formats(contract, known_formats(formats))
    routes = Router(contract)
    layers = [
        *([_response_validation(contract, public_url, routes, formats)] if check_answers else []),
        partial(EdgeMiddleware, observers=observers, clients=clients, cors=cors),
        *([partial(PreflightMiddleware, routes=routes, cors=cors)] if cors else []),
        partial(DocsMiddleware, title=contract.title, prefix=routes.prefix),
        partial(RoutingMiddleware, routes=routes, handlers=handlers),
        partial(BodyMiddleware, limit=body_bytes, seconds=body_seconds),
        SecurityStep,
        StrictRequestValidation,
        LifespanStep,
    ]
    app = ConnexionMiddleware(HandlerDispatch(handlers), import_name=handlers, middlewares=layers, lifespan=lifespan)
    _resolve(app, contract, handlers, formats, authenticators=authenticators, serving=serving, limiter=limiter)
    return app


def _response_validation(
    contract: Contract, public_url: str, routes: Router, formats: Mapping[str, Format]
) -> partial[ResponseValidationMiddleware]:
    schemas = Schemas(located(contract, public_url).document, formats)
    return partial(ResponseValidationMiddleware, routes=routes, schemas=schemas)


def _resolve(
    app: ConnexionMiddleware, contract: Contract, handlers: str, formats: Mapping[str, Format], **options: Any
) -> None:
    """Add a contract to the application and resolve its operations. Raises ContractError if it cannot be served."""
    try:
        operations = contract.served_by(handlers)
        options["schemas"] = Schemas(contract.document, formats)
        # Three of the layers look up each handler.
        resolver = Resolver(cache(find_handler))
        app.add_api(contract.skeleton(handlers), resolver=resolver, operations=operations, **options)
        # Connexion would build this on the first request, and report a missing handler only then.
        app.app, app.middleware_stack = app._build_middleware_stack()
    except ResolverError as error:
        raise ContractError(str(error)) from None
