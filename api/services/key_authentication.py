"""Authentication of programs: from an API key to its holder."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from api import clock, logs
from api.crypto import prefixed_secrets
from api.errors import InvalidApiKey
from api.models.user import Profile
from api.services import api_keys
from api.services.api_key_uses import KeyUses
from api.services.api_keys import FoundKey, KeyOwner
from api.services.attempts import Attempts
from api.services.rate_limits import RateLimiter
from api.storage.cache import BoundedDict, Cache
from api.storage.database import Database

_SCHEME, _TOPIC = "apiKey", "api_keys"
# An entry takes about 200 bytes.
_MAX_KNOWN_KEYS = 10_000
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The caller with an API key, which belongs to a user but to no session.

    `scopes` are those that both the key and the user's role have.
    """

    user: Profile
    key_id: UUID
    scopes: frozenset[str]
    expires_at: datetime

    @property
    def user_id(self) -> UUID:
        return self.user.id


class KeyAuthenticator:
    """The authenticator for the contract's security scheme `apiKey`. `roles` has the scopes of each role."""

    def __init__(
        self,
        database: Database,
        cache: Cache,
        roles: Mapping[str, frozenset[str]],
        uses: KeyUses,
        limiter: RateLimiter | None,
        prefix: str,
    ) -> None:
        self._start = prefixed_secrets.start_of(api_keys.KIND, prefix)
        self._database = database
        self._cache = cache
        self._roles = roles
        self._uses = uses
        self._attempts = Attempts(limiter, _SCHEME)
        self._known: BoundedDict[bytes, UUID] = BoundedDict(_MAX_KNOWN_KEYS)

    async def identify(self, key: str, address: str) -> KeyHolder:
        """Return the holder of a key. Raises InvalidApiKey.

        Raises RateLimited for a key that this process does not know, if its address has sent 60 unknown keys in a
        minute.
        """
        digest = prefixed_secrets.digest(key)
        key_id = self._known.get(digest)
        owner: KeyOwner | None
        if key_id is None:
            key_id, owner = await self._find(key, digest, address)
        else:
            owner = await self._cache.get(_TOPIC, key_id.hex, partial(self._read_owner, key_id))
        holder = self._holder(digest, key_id, owner)
        logs.bind(user_id=str(holder.user_id), key_id=str(key_id))
        logs.cause.set(logs.Cause("key", key_id, holder.user_id))
        self._uses.record(key_id, clock.now())
        return holder

    def accepts(self, text: str) -> bool:
        """Return True if a text has the form of a key that requests can use."""
        return text.startswith(self._start) and prefixed_secrets.is_well_formed(text)

    def inspect(self, key: str) -> KeyHolder:
        """Return the same as `identify`, for a caller on a thread, which may wait. Raises InvalidApiKey.

        This call does not count as a use of the key, and no rate limit applies.
        """
        digest = prefixed_secrets.digest(key)
        key_id = self._known.get(digest)
        if key_id is not None:
            owner = self._cache.look_up(_TOPIC, key_id.hex, partial(self._read_owner, key_id))
            return self._holder(digest, key_id, owner)
        found = self._read(digest)
        if found is None:
            raise InvalidApiKey()
        return self._holder(digest, found.id, found.owner)

    def _holder(self, digest: bytes, key_id: UUID, owner: KeyOwner | None) -> KeyHolder:
        """Return the holder of a key. Raises InvalidApiKey if the key was revoked or has expired."""
        if owner is None:
            # From now on, requests with this key count as attempts.
            self._known.pop(digest, None)
        if owner is None or owner.expires_at <= clock.now():
            raise InvalidApiKey()
        scopes = owner.scopes & self._roles.get(owner.user.role, _NONE)
        return KeyHolder(owner.user, key_id, scopes, owner.expires_at)

    async def _find(self, key: str, digest: bytes, address: str) -> FoundKey:
        """Return a key that this process does not know. Unknown keys spend the budget of the address.

        Raises InvalidApiKey, and RateLimited if the budget is empty.
        """
        # The checksum takes as long as the digest, so it is not verified in each request.
        if not prefixed_secrets.is_well_formed(key):
            raise InvalidApiKey()
        found = await self._attempts.find(address, digest, partial(self._cache.read, partial(self._read, digest)))
        if found is None:
            raise InvalidApiKey()
        self._known.put(digest, found.id)
        return found

    def _read(self, digest: bytes) -> FoundKey | None:
        keep = self._cache.begin_fill()
        with self._database.transaction() as db:
            found = api_keys.find(db, digest)
        if found is not None:
            keep(_TOPIC, found.id.hex, found.owner)
        return found

    def _read_owner(self, key_id: UUID) -> KeyOwner | None:
        with self._database.transaction() as db:
            return api_keys.find_owner(db, key_id)
