"""Authentication: from an access token, or the secret of a service, to the caller."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_plus
from uuid import UUID

from api import logs
from api.crypto import prefixed_secrets
from api.crypto.access_tokens import AccessTokenCodec, Claims, key_id, revalidate
from api.crypto.signing_keys import SigningKey
from api.errors import InvalidRefreshToken, InvalidToken
from api.models.user import Profile
from api.oauth_errors import InvalidClient
from api.services import service_accounts, sessions
from api.services.attempts import Attempts
from api.services.key_authentication import KeyAuthenticator
from api.services.service_accounts import KnownService
from api.services.signing_keys import Keyring
from api.services.token_issuer import SessionOwner
from api.storage.cache import BoundedDict, Cache
from api.storage.database import Database

# A cached token takes about 600 bytes.
_MAX_VERIFIED_TOKENS = 10_000
_MAX_KNOWN_SERVICES = 10_000
_NONE: frozenset[str] = frozenset()
# The pattern of the contract for a refresh token in a body. No schema describes the value of a security scheme.
_REFRESH_TOKEN = re.compile("[A-Za-z0-9_-]{1,256}")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Caller(Protocol):
    """The user behind a request, for operations that accept an access token or an API key."""

    @property
    def user(self) -> Profile: ...
    @property
    def user_id(self) -> UUID: ...
    @property
    def scopes(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller with an access token. The user's data is at most 50 milliseconds older than the database.

    `scopes` are those that both the token and the user's role have. Therefore, a change of the role takes scopes away
    at once.
    """

    user: Profile
    session_id: UUID
    scopes: frozenset[str]
    authenticated_at: datetime
    """When the user last proved its identity: at the log-in, or at a later step-up."""

    @property
    def user_id(self) -> UUID:
        return self.user.id


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """The caller with the access token or the secret of a service account.

    With a token, the caller `needs_scopes`: operations without `x-scopes` are for users.
    """

    service_id: UUID
    scopes: frozenset[str]
    needs_scopes: bool


@dataclass(frozen=True, slots=True)
class CookieHolder:
    """The caller of an operation that only the refresh token in a cookie authorizes."""

    refresh_token: str
    scopes: frozenset[str] = frozenset()


def caller_id(caller: Identity | ServiceCaller) -> str:
    """Return the id of a user or a service, whose requests a rate limit counts."""
    return str(caller.service_id if isinstance(caller, ServiceCaller) else caller.user_id)


async def read_cookie(token: str) -> CookieHolder:
    """Return the holder of a refresh token, which the handler then verifies. Raises InvalidRefreshToken."""
    # This runs on the event loop, so it must not read the database.
    if not _REFRESH_TOKEN.fullmatch(token):
        raise InvalidRefreshToken()
    return CookieHolder(token)


class Grants(NamedTuple):
    """The scopes that the contract grants to each role, and those that services can have."""

    roles: Mapping[str, frozenset[str]]
    services: frozenset[str]


class Authenticator:
    """Returns the callers of tokens and secrets. Mostly, the cache knows them, so no query is necessary."""

    def __init__(
        self,
        database: Database,
        tokens: AccessTokenCodec,
        keyring: Keyring,
        cache: Cache,
        grants: Grants,
        keys: KeyAuthenticator,
        attempts: Attempts,
    ) -> None:
        self.keys = keys
        self._attempts = attempts
        self._database = database
        self._tokens = tokens
        self._keyring = keyring
        self._cache = cache
        self._grants = grants
        self._verified: BoundedDict[bytes, Claims] = BoundedDict(_MAX_VERIFIED_TOKENS)
        self._known_services: BoundedDict[str, UUID] = BoundedDict(_MAX_KNOWN_SERVICES)

    def schemes(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Return the functions of the contract's security schemes by name."""
        return {
            "apiKey": self.keys.identify,
            "bearer": self.identify,
            "client": self.identify_client,
            "refreshCookie": read_cookie,
        }

    async def identify(self, token: str) -> Identity | ServiceCaller:
        """Return the caller of an access token. Raises InvalidToken."""
        claims = self._known(token)
        # A malformed token is rejected here, before the keys are read.
        signer = claims.key_id if claims else key_id(token)
        keys = await self._cache.get("signing_keys", "", self._read_keys) or {}
        claims = self._verify(token, claims, keys.get(signer))
        if claims.session_id is None:
            service = self._service_of(claims, await self._cache.get(*self._service(claims.subject)))
            _note_service(service.service_id)
            return service
        owner = await self._cache.get("sessions", claims.session_id.hex, partial(self._read_owner, claims.session_id))
        user = self._user_of(claims, owner)
        _note_user(user.user_id, user.session_id)
        return user

    def inspect(self, token: str) -> Identity | ServiceCaller:
        """Return the same as `identify`, for a caller on a thread, which may wait. Raises InvalidToken."""
        claims = self.verify(token)
        if claims.session_id is None:
            return self._service_of(claims, self._cache.look_up(*self._service(claims.subject)))
        read = partial(self._read_owner, claims.session_id)
        return self._user_of(claims, self._cache.look_up("sessions", claims.session_id.hex, read))

    def verify(self, token: str) -> Claims:
        """Return the claims of a token, whose session may have ended. Call it on a thread. Raises InvalidToken."""
        claims = self._known(token)
        signer = claims.key_id if claims else key_id(token)
        keys = self._cache.look_up("signing_keys", "", self._read_keys) or {}
        return self._verify(token, claims, keys.get(signer))

    async def identify_client(self, client_id: str, client_secret: str, address: str) -> ServiceCaller:
        """Return the service with these credentials. Raises InvalidClient.

        Raises RateLimited if its address has sent too many unknown ones.

        Clients encode both like a form (RFC 6749, section 2.3.1) or not at all. Valid credentials are the same in both.
        """
        name, secret = unquote_plus(client_id), unquote_plus(client_secret)
        # Malformed secrets are rejected without a query.
        if not _UUID.fullmatch(name) or not prefixed_secrets.is_well_formed(secret):
            raise InvalidClient()
        get = partial(self._cache.get, *self._service(UUID(name)))
        service = await (get() if name in self._known_services else self._attempts.find(address, name, get))
        if service is None:
            # From now on, requests with this id count as attempts.
            self._known_services.pop(name, None)
            raise InvalidClient()
        self._known_services.put(name, service.id)
        if not service.has(secret):
            raise InvalidClient()
        _note_service(service.id)
        return ServiceCaller(service.id, service.scopes & self._grants.services, needs_scopes=False)

    def _known(self, token: str) -> Claims | None:
        # Verified tokens are cached: a lookup costs 2 us, verifying a signature 150 us.
        return self._verified.get(sha256(token.encode()).digest())

    def _verify(self, token: str, known: Claims | None, key: SigningKey | None) -> Claims:
        if known is not None:
            return revalidate(known, key)
        claims = self._tokens.decode(token, key)
        self._verified.put(sha256(token.encode()).digest(), claims)
        return claims

    def _user_of(self, claims: Claims, owner: SessionOwner | None) -> Identity:
        if owner is None or owner.user.id != claims.subject or claims.session_id is None:
            raise InvalidToken()
        user, authenticated_at = owner
        scopes = claims.scopes & self._grants.roles.get(user.role, _NONE)
        return Identity(user, claims.session_id, scopes, authenticated_at)

    def _service_of(self, claims: Claims, service: KnownService | None) -> ServiceCaller:
        if service is None:
            raise InvalidToken()
        scopes = claims.scopes & service.scopes & self._grants.services
        return ServiceCaller(service.id, scopes, needs_scopes=True)

    def _service(self, service_id: UUID) -> tuple[str, str, Callable[[], KnownService | None]]:
        """Return the arguments of the cache for a service."""
        return "services", service_id.hex, partial(self._read_service, service_id)

    def _read_keys(self) -> dict[str, SigningKey]:
        with self._database.transaction() as db:
            return self._keyring.verifying(db)

    def _read_owner(self, session_id: UUID) -> SessionOwner | None:
        with self._database.transaction() as db:
            return sessions.find_owner(db, session_id)

    def _read_service(self, service_id: UUID) -> KnownService | None:
        with self._database.transaction() as db:
            return service_accounts.find_enabled(db, service_id)


def _note_user(user_id: UUID, session_id: UUID) -> None:
    """Add the caller to the log lines and the audit events of the request."""
    logs.bind(user_id=str(user_id))
    logs.cause.set(logs.Cause("user", user_id, user_id, session_id))


def _note_service(service_id: UUID) -> None:
    """Add the caller to the log lines and the audit events of the request."""
    logs.bind(service_id=str(service_id))
    logs.cause.set(logs.Cause("service", service_id))
