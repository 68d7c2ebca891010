"""The composition root: builds the ASGI application from all other modules."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from connexion import ConnexionMiddleware

from api import contract
from api.config import Config
from api.config.parsers import database_url
from api.config.paths import resource_dir
from api.contract import Format
from api.crypto import password_hasher, prefixed_secrets
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.cursors import CursorCodec
from api.crypto.device_tokens import DeviceTokenCodec
from api.crypto.one_time_codes import OneTimeCodes
from api.crypto.password_hasher import PasswordHasher
from api.crypto.place_digests import PlaceDigests
from api.crypto.refresh_tokens import RefreshTokenFactory
from api.mailing import mail_delivery, make_outbox, template_folders
from api.runtime.background import BackgroundWorker, Task
from api.runtime.bulkhead import Bulkhead
from api.runtime.shutdown import GracefulShutdown
from api.runtime.thread_pool import ThreadPool
from api.services import (
    api_keys,
    codes,
    deletion,
    events,
    known_places,
    names,
    outbox,
    password_policy,
    server_metadata,
    sessions,
    usernames,
)
from api.services.api_key_uses import KeyUses
from api.services.api_keys import KeyRules
from api.services.attempts import Attempts
from api.services.authentication import Authenticator, Grants, caller_id
from api.services.deletion import DeletionRules
from api.services.front_ends import FrontEnds
from api.services.key_authentication import KeyAuthenticator
from api.services.landing_pages import PAGES, Call, LandingPages
from api.services.rate_limits import RateLimiter, Readers
from api.services.recognition import Recognition
from api.services.session_limit import ExcessTrimmer
from api.services.signing_keys import Keyring
from api.services.token_issuer import TokenIssuer
from api.services.user_budgets import UserBudgets
from api.storage import revisions
from api.storage.cache import Cache
from api.storage.database import Database, Db
from api.storage.rate_limit_store import RateLimitStore
from api.telemetry import request_log
from api.telemetry.forwarding_log import ForwardingLog

if TYPE_CHECKING:
    from api.services.mail_delivery import Delivery
    from api.telemetry.metrics import Metrics
    from api.telemetry.tracing import Tracing

HANDLERS = "api.handlers"
"""The package with a module of handlers for each tag of the contract."""
# On SQLite, deleting these holds the write lock for about 1 ms.
_PURGED_AT_ONCE = 20
# A statement of a rate limit takes less than a millisecond. Behind statements that hang, requests would pile up.
_LIMITER_WAIT_SECONDS = 2.0


def formats(service: str) -> dict[str, Format]:
    """Return the checkers of the `format` values that the contract adds to the standard ones."""
    return {
        "email": names.is_email,
        "new-password": partial(password_policy.is_hard_to_guess, service=service),
        "username": names.is_username,
    }


def features(config: Config) -> dict[str, bool]:
    """Return the features of the contract, and whether the settings switch them on."""
    return {
        "cookies": config.cookies == "refresh",
        "open-sign-up": config.sign_up == "open",
        "verified-sign-up": config.sign_up == "verified",
    }


def create_app(config: Config, shutdown: GracefulShutdown | None = None) -> ConnexionMiddleware:
    """Return the ASGI application for these settings. Raises if the contract cannot be served."""
    document = _document(config)
    shutdown = shutdown or GracefulShutdown()
    bulkhead = Bulkhead(config.hashes, password_hasher.estimate_seconds(config.bcrypt_cost))
    metrics, traces, cors = _metrics(config), _traces(config, document), _cors(config, document)
    database = Database(config.database_url, config.max_connections, revisions.head())
    tokens = AccessTokenCodec(config.issuer, config.audience, config.client_id, config.access_token_seconds)
    keyring = Keyring(config.secret, config.signing_algorithm, config.access_token_seconds)
    cache = _cache(database)
    limiter = rate_limiter(config, database, metrics.count_refusal if metrics else None)
    limited, uses = limiter if contract.limited(document) else None, KeyUses()
    authenticator = _authenticator(config, document, database, tokens, keyring, cache, uses, limited)
    resources = {
        **_resources(config, document),
        "authenticator": authenticator,
        "hasher": _hasher(config, bulkhead, metrics),
        "keyring": keyring,
        "issuer": _issuer(config, tokens, keyring, cache, document.roles),
        "revision": database.revision,
        "shutdown": shutdown,
        "user_budgets": _user_budgets(document, limiter),
    }
    background = _background(config, database, limited, uses, document.title, metrics)
    return contract.assemble(
        document,
        handlers=HANDLERS,
        authenticators=authenticator.schemes(),
        formats=formats(document.title),
        serving=_serving(database, resources, bulkhead),
        lifespan=lambda _: _lifespan(cache, shutdown, background, bulkhead, database, limiter, metrics, traces, cors),
        body_bytes=config.body_bytes,
        body_seconds=config.body_seconds,
        check_answers=config.check_answers == "report",
        clients=_clients(config, metrics),
        cors=cors,
        observers=[request_log.begin, *(observer.begin for observer in (metrics, traces) if observer)],
        public_url=config.public_url,
        limiter=limiter,
    )


def _cache(database: Database) -> Cache:
    """Return a cache that no longer trusts its values after a write of this process."""
    cache = Cache(database)
    database.on_write(cache.monitor.mark_stale)
    return cache


def _authenticator(
    config: Config,
    document: contract.Contract,
    database: Database,
    tokens: AccessTokenCodec,
    keyring: Keyring,
    cache: Cache,
    uses: KeyUses,
    limiter: RateLimiter | None,
) -> Authenticator:
    keys = KeyAuthenticator(database, cache, document.roles, uses, limiter, config.key_prefix)
    grants = Grants(document.roles, document.service_scopes)
    return Authenticator(database, tokens, keyring, cache, grants, keys, Attempts(limiter, "client"))


def _document(config: Config) -> contract.Contract:
    """Return the contract, as the settings change it."""
    document = contract.with_overrides(contract.load(resource_dir("openapi")), config.limit_overrides)
    document = contract.with_features(document, features(config))
    return contract.with_prefixes(document, {"apiKey": prefixed_secrets.start_of(api_keys.KIND, config.key_prefix)})


def _serving(database: Database, resources: dict[str, Any], bulkhead: Bulkhead) -> contract.HandlerResources:
    executors, bound = {"hashing": bulkhead}, {"hasher": "hashing"}
    return contract.HandlerResources(database.transaction, resources, executors, bound, events.begin_operation)


def _cors(config: Config, document: contract.Contract) -> contract.Cors | None:
    if not config.cors_origins:
        return None
    return contract.Cors(config.cors_origins, document, credentials=config.cookies == "refresh")


def _hasher(config: Config, bulkhead: Bulkhead, metrics: "Metrics | None") -> PasswordHasher:
    work = metrics.instrument(bulkhead.run_work) if metrics else bulkhead.run_work
    return PasswordHasher(config.pepper, config.bcrypt_cost, work)


def _clients(config: Config, metrics: "Metrics | None") -> contract.ClientAddresses:
    key = partial(contract.address_key, ipv6_prefix=config.ipv6_prefix)
    ignored = ForwardingLog(key, metrics.ignored_headers.inc) if metrics else ForwardingLog(key)
    return contract.ClientAddresses(config.trusted_proxies, config.forwarded, ignored.record)


def check_handlers() -> None:
    """Check that each operation has a handler that fits it. Raises ContractError if not. It creates no files."""
    create_app(Config(database_url=database_url("sqlite:///unused.db"), secret=bytes(32), pepper=bytes(32)))


def _resources(config: Config, document: contract.Contract) -> dict[str, object]:
    """Return the resources of handlers that depend only on the settings."""
    mails, places = make_outbox(config), _places(config)
    return {
        "document": contract.published(document, config.public_url),
        "cursors": CursorCodec(config.secret),
        "deletion_rules": deletion_rules(config),
        "front_ends": FrontEnds(config.front_ends),
        "key_rules": KeyRules(config.key_prefix, timedelta(days=config.key_days)),
        "landing_pages": _landing_pages(config, document),
        "name_stay": deletion_rules(config).name_stay,
        "one_time_codes": OneTimeCodes(config.secret),
        "outbox": mails,
        "places": places,
        "public_url": config.public_url,
        "recognition": Recognition(DeviceTokenCodec(config.secret), places, mails),
        "issuer_metadata": server_metadata.describe(config.issuer, config.public_url, document.service_scopes),
        "role_scopes": document.roles,
        "reminders": mails if config.unverified == "refused" else None,
    }


def deletion_rules(config: Config) -> DeletionRules:
    """Return how long accounts can be restored and usernames stay reserved."""
    return DeletionRules(timedelta(days=config.deletion_days), timedelta(days=config.name_days))


def _places(config: Config) -> PlaceDigests:
    return PlaceDigests(config.secret, partial(contract.address_key, ipv6_prefix=config.ipv6_prefix))


def _landing_pages(config: Config, document: contract.Contract) -> LandingPages:
    """Return the pages of the operations that take a code from a mail."""
    calls = {
        operation.id: Call(operation.path, operation.body_properties)
        for operation in document.operations()
        if operation.id in PAGES.values()
    }
    return LandingPages(resource_dir("pages"), template_folders(config), config.locale, document.title, calls)


def rate_limiter(
    config: Config, database: Database, on_refusal: Callable[[str, str], None] | None = None
) -> RateLimiter:
    """Return the limiter whose budgets are in this database, or in a file beside it."""
    readers = Readers(
        {
            "address": partial(contract.address_key, ipv6_prefix=config.ipv6_prefix),
            "identity": caller_id,
            "body.username": names.login_key,
            "body.email": names.login_key,
        },
        DeviceTokenCodec(config.secret).device_of,
        partial(known_places.is_known, database, _places(config)),
    )
    threads = ThreadPool("limits", RateLimitStore.CONNECTIONS, _LIMITER_WAIT_SECONDS)
    return RateLimiter(RateLimitStore(database), config.secret, readers, config.limit_rows, threads.run, on_refusal)


def _user_budgets(document: contract.Contract, limiter: RateLimiter) -> UserBudgets:
    limited = contract.limited(document)
    return UserBudgets(limiter, [(operation.id, policy) for operation, policies in limited for policy in policies])


def _issuer(
    config: Config, tokens: AccessTokenCodec, keyring: Keyring, cache: Cache, roles: Mapping[str, frozenset[str]]
) -> TokenIssuer:
    return TokenIssuer(
        tokens,
        keyring,
        RefreshTokenFactory(config.secret),
        cache,
        roles=roles,
        idle_timeout=timedelta(seconds=config.session_idle_seconds),
        absolute_timeout=timedelta(seconds=config.session_seconds),
        max_sessions=config.sessions_per_user,
        refresh_grace=timedelta(seconds=config.refresh_grace_seconds),
    )


@asynccontextmanager
async def _lifespan(
    cache: Cache,
    shutdown: GracefulShutdown,
    background: list[BackgroundWorker],
    bulkhead: Bulkhead,
    database: Database,
    limiter: RateLimiter,
    metrics: "Metrics | None",
    traces: "Tracing | None",
    cors: contract.Cors | None,
) -> AsyncIterator[dict[str, Any] | None]:
    """Start the tasks of the service, and end them and release its resources on leaving.

    The server gets what it needs for its own responses as the state of the lifespan.
    """
    await cache.monitor.ensure_fresh()
    shutdown.install()
    for worker in background:
        worker.start()
    polling = asyncio.create_task(cache.monitor.poll_forever())
    sampling = asyncio.create_task(metrics.keep_sampling(database)) if metrics else None
    yield {"cors": cors} if cors else None
    for worker in background:
        await asyncio.to_thread(worker.stop)
    bulkhead.close()
    polling.cancel()
    if sampling:
        sampling.cancel()
    if traces:
        await asyncio.to_thread(traces.close)
    cache.monitor.close()
    limiter.close()
    database.dispose()


def _background(
    config: Config,
    database: Database,
    limiter: RateLimiter | None,
    uses: KeyUses,
    service: str,
    metrics: "Metrics | None",
) -> list[BackgroundWorker]:
    """Return the workers of the background tasks. Mail has one of its own, because mail servers can be slow."""
    # A process that did not purge the budgets would not notice that there are too many. Each one knows only its own
    # uses of keys.
    always: list[Task] = [partial(_run, database, uses.flush), *([limiter.purge] if limiter else [])]
    if config.background == "off":
        return [BackgroundWorker(always)]
    trimmer = ExcessTrimmer(config.sessions_per_user)
    stay = timedelta(days=config.mail_days)
    purges = (sessions.delete_expired, api_keys.delete_expired, codes.delete_expired, usernames.delete_expired)
    expired = [partial(_purge, delete) for delete in purges]
    delete_due = partial(deletion.delete_due, outbox=make_outbox(config), name_stay=deletion_rules(config).name_stay)
    log = partial(events.purge, stay=timedelta(days=config.event_days))
    steps: list[Callable[[Db], bool]] = [
        *expired,
        trimmer.step,
        partial(outbox.purge, sent_stay=stay),
        partial(log, origin_stay=timedelta(days=config.event_origin_days)),
        delete_due,
    ]
    workers = [BackgroundWorker([*always, *(partial(_run, database, step) for step in steps)])]
    if config.sends_mail:
        on_outcome = metrics.count_mail if metrics else None
        make = lru_cache(1)(partial(mail_delivery, config, database, service, on_outcome))
        on_oldest = metrics.set_oldest_mail if metrics else None
        workers.append(BackgroundWorker([partial(_deliver, database, make, on_oldest)], pause_ratio=1, stop_seconds=5))
    return workers


def _deliver(
    database: Database, make: "Callable[[], Delivery]", on_oldest: Callable[[datetime | None], None] | None
) -> bool:
    """Send some mails. The modules that this needs are imported once a mail is due.

    `on_oldest` gets the time of the oldest mail that waits.
    """
    with database.transaction() as db:
        if on_oldest is not None:
            on_oldest(outbox.oldest_waiting(db))
        if not outbox.has_due(db):
            return False
    return make().step()


def _run(database: Database, step: Callable[[Db], bool]) -> bool:
    """Run one step of a background task in a transaction, and return True if more work may be waiting."""
    with database.transaction() as db:
        return step(db)


def _purge(delete: Callable[[Db, int], int], db: Db) -> bool:
    """Delete some expired rows, and return True if more may be waiting."""
    return delete(db, _PURGED_AT_ONCE) == _PURGED_AT_ONCE


def _metrics(config: Config) -> "Metrics | None":
    """Return the metrics, or None if they are off. Only an enabled exporter is imported."""
    if not config.metrics_port:
        return None
    from api.telemetry.metrics import Metrics  # noqa: PLC0415

    return Metrics()


def _traces(config: Config, document: contract.Contract) -> "Tracing | None":
    """Return the traces, or None if no collector is configured. Only an enabled exporter is imported."""
    if config.traces_url == "off":
        return None
    from api.telemetry.tracing import Tracing  # noqa: PLC0415

    return Tracing(config.traces_url, {operation.id: operation.route for operation in document.operations()})
