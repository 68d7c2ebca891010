"""The application: the only module that knows every other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from connexion import ConnexionMiddleware

from api import contract
from api.config import Config
from api.config.paths import folder
from api.contract import Format
from api.crypto import password_hasher
from api.crypto.access_tokens import Tokens
from api.crypto.cursors import Cursors
from api.crypto.password_hasher import Hasher
from api.crypto.refresh_tokens import RefreshTokens
from api.crypto.signing_keys import Vault
from api.runtime.background import BackgroundWorker
from api.runtime.bulkhead import Lane
from api.runtime.shutdown import Stopping
from api.services import authentication, names, password_policy, sessions
from api.services.signing_keys import Keyring
from api.services.token_issuer import Mint
from api.storage import revisions
from api.storage.cache import Memory
from api.storage.database import Database, Db

if TYPE_CHECKING:
    from api.telemetry.metrics import Metrics
    from api.telemetry.tracing import Traces

# On SQLite, deleting these holds the write lock for about 3 ms.
_PURGED_AT_ONCE = 20


def formats(service: str) -> dict[str, Format]:
    """What a `format` of the contract means, beside the standard ones."""
    return {
        "email": names.is_email,
        "new-password": partial(password_policy.is_hard_to_guess, service=service),
        "username": names.is_username,
    }


def create_app(config: Config, stopping: Stopping | None = None) -> ConnexionMiddleware:
    """The ASGI application for these settings; raises for a contract that cannot be served."""
    document = contract.load(folder("openapi"))
    stopping = stopping or Stopping()
    lane = Lane(config.hashes, password_hasher.seconds(config.bcrypt_cost))
    metrics, traces = _metrics(config), _traces(config, document)
    database = Database(config.database_url, config.most_connections)
    tokens = Tokens(config.issuer, config.audience, config.access_token_seconds)
    keyring = Keyring(Vault(config.secret), config.signing_algorithm, config.access_token_seconds)
    memory = Memory(database)
    database.on_write(memory.watch.doubt)
    mint = Mint(
        tokens,
        keyring,
        RefreshTokens(config.secret),
        memory,
        scopes=document.scopes_of("user"),
        idle=timedelta(seconds=config.session_idle_seconds),
        absolute=timedelta(seconds=config.session_seconds),
    )
    resources = {
        "contract": document,
        "cursors": Cursors(config.secret),
        "hasher": Hasher(config.pepper, config.bcrypt_cost, metrics.counting(lane.work) if metrics else lane.work),
        "keyring": keyring,
        "mint": mint,
        "revision": revisions.head(),
        "stopping": stopping,
    }
    purges = [sessions.delete_expired, sessions.delete_used_tokens] if config.background == "on" else []
    background = BackgroundWorker([partial(_purge, database, delete) for delete in purges])

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await memory.watch.is_up_to_date()
        stopping.expect_signal()
        background.start()
        looking = asyncio.create_task(memory.watch.keep_looking())
        sampling = asyncio.create_task(metrics.keep_sampling(database)) if metrics else None
        yield
        await asyncio.to_thread(background.stop)
        lane.close()
        looking.cancel()
        if sampling:
            sampling.cancel()
        if traces:
            await asyncio.to_thread(traces.close)
        memory.watch.close()
        database.dispose()

    return contract.assemble(
        document,
        handlers="api.handlers",
        identify=authentication.bearer(database, tokens, keyring, memory),
        formats=formats(document.title),
        serving=contract.Serving(database.transaction, resources, {"hasher": lane}),
        lifespan=lifespan,
        body_bytes=config.body_bytes,
        body_seconds=config.body_seconds,
        check_answers=config.check_answers == "report",
        observers=[observer.begin for observer in (metrics, traces) if observer],
    )


def _purge(database: Database, delete: Callable[[Db, int], int]) -> bool:
    """Delete some rows in a transaction of their own, and return True if more may be waiting."""
    with database.transaction() as db:
        return delete(db, _PURGED_AT_ONCE) == _PURGED_AT_ONCE


def _metrics(config: Config) -> "Metrics | None":
    """What counts, where somebody asks for it; who does not pays nothing."""
    if not config.metrics_port:
        return None
    from api.telemetry.metrics import Metrics  # noqa: PLC0415

    return Metrics()


def _traces(config: Config, document: contract.Contract) -> "Traces | None":
    """What tells a collector, where there is one."""
    if config.traces_url == "off":
        return None
    from api.telemetry.tracing import Traces  # noqa: PLC0415

    return Traces(config.traces_url, {operation["operationId"]: path for path, _, operation in document.operations()})
