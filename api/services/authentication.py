"""Authentication: from an access token to an Identity."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from api import logs
from api.crypto.access_tokens import AccessTokenCodec, Claims, key_id, revalidate
from api.crypto.signing_keys import SigningKey
from api.errors import InvalidRefreshToken, InvalidToken
from api.models.user import Profile
from api.services import sessions
from api.services.api_key_uses import KeyUses
from api.services.key_authentication import KeyAuthenticator
from api.services.rate_limits import RateLimiter
from api.services.signing_keys import Keyring
from api.services.token_issuer import SessionOwner
from api.storage.cache import BoundedDict, Cache
from api.storage.database import Database

# A cached token takes about 600 bytes.
_MAX_VERIFIED_TOKENS = 10_000
_NONE: frozenset[str] = frozenset()
# The pattern of the contract for a refresh token in a body. No schema describes the value of a security scheme.
_REFRESH_TOKEN = re.compile("[A-Za-z0-9_-]{1,256}")


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
class CookieHolder:
    """The caller of an operation that only the refresh token in a cookie authorizes."""

    refresh_token: str
    scopes: frozenset[str] = frozenset()


async def read_cookie(token: str) -> CookieHolder:
    """Return the holder of a refresh token, which the handler then verifies. Raises InvalidRefreshToken."""
    # This runs on the event loop, so it must not read the database.
    if not _REFRESH_TOKEN.fullmatch(token):
        raise InvalidRefreshToken()
    return CookieHolder(token)


def make_authenticators(
    database: Database,
    tokens: AccessTokenCodec,
    keyring: Keyring,
    cache: Cache,
    roles: Mapping[str, frozenset[str]],
    uses: KeyUses,
    limiter: RateLimiter | None,
) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Return the authenticators of the contract's security schemes by name."""
    return {
        "apiKey": KeyAuthenticator(database, cache, roles, uses, limiter).identify,
        "bearer": make_bearer_authenticator(database, tokens, keyring, cache, roles),
        "refreshCookie": read_cookie,
    }


def make_bearer_authenticator(
    database: Database,
    tokens: AccessTokenCodec,
    keyring: Keyring,
    cache: Cache,
    roles: Mapping[str, frozenset[str]],
) -> Callable[[str], Awaitable[Identity]]:
    """Return the authenticator for the contract's security scheme `bearer`.

    The authenticator returns the Identity of a token, or raises InvalidToken. `roles` has the scopes of each role.
    """

    def read_keys() -> dict[str, SigningKey]:
        with database.transaction() as db:
            return keyring.verifying(db)

    def read_owner(session_id: UUID) -> SessionOwner | None:
        with database.transaction() as db:
            return sessions.find_owner(db, session_id)

    verified: BoundedDict[bytes, Claims] = BoundedDict(_MAX_VERIFIED_TOKENS)

    async def identify(token: str) -> Identity:
        # Verified tokens are cached: a lookup costs 2 us, verifying a signature 150 us.
        digest = sha256(token.encode()).digest()
        known = verified.get(digest)
        # A malformed token is rejected here, before the keys are read.
        signer = known.key_id if known else key_id(token)
        key = (await cache.get("signing_keys", "", read_keys) or {}).get(signer)
        claims = revalidate(known, key) if known else tokens.decode(token, key)
        if known is None:
            verified.put(digest, claims)
        owner = await cache.get("sessions", claims.session_id.hex, partial(read_owner, claims.session_id))
        if owner is None or owner.user.id != claims.user_id:
            raise InvalidToken()
        user, authenticated_at = owner
        logs.bind(user_id=str(user.id))
        return Identity(user, claims.session_id, claims.scopes & roles.get(user.role, _NONE), authenticated_at)

    return identify
