"""The application: the only module that knows every other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from connexion import ConnexionMiddleware

from api import contract, revisions, security
from api.config import Config, folder
from api.contract.formats import Format
from api.database import Database
from api.hashing import Hasher
from api.services import names, passwords
from api.tokens import Tokens


def formats(service: str) -> dict[str, Format]:
    """What a `format` of the contract means, beside the standard ones."""
    return {
        "email": names.is_email,
        "new-password": partial(passwords.is_hard_to_guess, service=service),
        "username": names.is_username,
    }


def create_app(config: Config) -> ConnexionMiddleware:
    """The ASGI application for these settings; raises for a contract that cannot be served."""
    document = contract.load(folder("openapi"))
    database = Database(config.database_url)
    tokens = Tokens(config.secret, config.issuer, config.audience, config.access_token_seconds)
    resources = {
        "contract": document,
        "hasher": Hasher(config.pepper, config.bcrypt_cost),
        "revision": revisions.head(),
        "tokens": tokens,
        "user_scopes": document.scopes_of("user"),
    }

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        database.dispose()

    return contract.assemble(
        document,
        handlers="api.handlers",
        identify=security.bearer(database, tokens),
        formats=formats(document.title),
        serving=contract.Serving(database.transaction, resources),
        lifespan=lifespan,
        body_bytes=config.body_bytes,
        body_seconds=config.body_seconds,
        check_answers=config.check_answers == "report",
    )
