"""The application: the only module that knows every other."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any

from connexion import ConnexionMiddleware
from inflection import underscore

from api import contract, schema, security
from api.config import Config, folder
from api.database import Database
from api.hashing import Hasher
from api.services import names, passwords
from api.tokens import Tokens


def create_app(config: Config) -> ConnexionMiddleware:
    """The ASGI application for these settings; raises for a contract that cannot be served."""
    document = contract.load(folder("openapi"))
    database = Database(config.database_url)
    tokens = Tokens(config.secret, config.issuer, config.audience, config.access_token_seconds)
    resources = {
        "contract": document,
        "hasher": Hasher(config.pepper, config.bcrypt_cost),
        "revision": schema.head(),
        "tokens": tokens,
    }

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        database.dispose()

    return contract.assemble(
        document,
        handlers="api.handlers",
        resolve=_resolve,
        identify=security.bearer(database, tokens),
        formats={
            "email": names.is_email,
            "new-password": partial(passwords.is_uncommon, service=document.document["info"]["title"]),
            "username": names.is_username,
        },
        serving=contract.Serving(database.transaction, resources),
        lifespan=lifespan,
        body_bytes=config.body_bytes,
        body_seconds=config.body_seconds,
        check_answers=config.check_answers == "report",
    )


def _resolve(operation_id: str) -> Callable[..., Any]:
    """`api.handlers.auth.signUp` is `sign_up` in `api/handlers/auth.py`."""
    module, _, name = operation_id.rpartition(".")
    return getattr(import_module(module), underscore(name))  # type: ignore[no-any-return]
