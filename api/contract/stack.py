"""Put the layers together; Connexion's own middlewares stand where they do the job."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from connexion import ConnexionMiddleware
from connexion.exceptions import InvalidSpecification, ResolverError
from connexion.middleware.lifespan import Lifespan, LifespanMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.resolver import Resolver

from api.contract.body import Body
from api.contract.conform import Conform
from api.contract.docs import Docs
from api.contract.edge import Edge
from api.contract.faults import Format
from api.contract.load import Contract, ContractError
from api.contract.route import Route, Routes
from api.contract.secure import Bearer, Identify
from api.contract.serve import Handlers, Serving
from api.contract.validate import Validate


def assemble(
    contract: Contract,
    *,
    handlers: str,
    resolve: Callable[[str], Callable[..., Any]],
    identify: Identify,
    formats: Mapping[str, Format],
    serving: Serving,
    lifespan: Lifespan,
    body_bytes: int,
    body_seconds: float,
    check_answers: bool,
) -> ConnexionMiddleware:
    """The ASGI application that serves `contract`; every operation is resolved now, not at the first request.

    Raises ContractError for what cannot be served.
    """
    executable = contract.executable(handlers)
    routes = Routes(executable)
    layers = [
        *([partial(Conform, contract=contract, routes=routes)] if check_answers else []),
        Edge,
        partial(Docs, title=contract.document["info"]["title"]),
        partial(Route, routes=routes),
        partial(Body, limit=body_bytes, seconds=body_seconds),
        SecurityMiddleware,
        Validate,
        LifespanMiddleware,
    ]
    app = ConnexionMiddleware(Handlers(handlers), import_name=handlers, middlewares=layers, lifespan=lifespan)
    try:
        app.add_api(
            executable.document,
            resolver=Resolver(resolve),
            security_map={"bearer": partial(Bearer, identify)},
            formats=formats,
            serving=serving,
        )
        # Connexion would build this at the first request, and tell of a missing handler only then.
        app.app, app.middleware_stack = app._build_middleware_stack()
    except InvalidSpecification as error:
        raise ContractError(f"{'/'.join(map(str, error.absolute_path))}: {error.message}") from None
    except ResolverError as error:
        raise ContractError(str(error)) from None
    return app
