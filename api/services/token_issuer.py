"""The issuer of the access token and the refresh token of a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from api import clock
from api.crypto.access_tokens import AccessTokenCodec
from api.crypto.refresh_tokens import RefreshTokenFactory
from api.crypto.signing_keys import SigningKey
from api.models.user import Profile
from api.oauth_errors import InvalidScope, UnsupportedGrantType
from api.services import events
from api.services.signing_keys import Keyring
from api.storage.cache import Cache, Keep
from api.storage.database import Db


@dataclass(frozen=True)
class TokenPair:
    """The tokens of a session, as in RFC 6749, section 5.1. Both times are in seconds from now."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    device_token: str | None = None


@dataclass(frozen=True)
class ServiceToken:
    """The access token of a service, as in RFC 6749, section 4.4.3. It expires in `expires_in` seconds from now."""

    access_token: str
    expires_in: int
    scope: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme


class SessionOwner(NamedTuple):
    """The user of a session, and the latest proof of identity in it. Processes cache both with the session."""

    user: Profile
    authenticated_at: datetime


class LiveSession(NamedTuple):
    """A session that tokens are issued for."""

    id: UUID
    expires_at: datetime
    owner: SessionOwner


@dataclass(frozen=True)
class TokenIssuer:
    """Issues token pairs with the scopes of the user's role. `roles` has the scopes of each role.

    A session ends after `idle_timeout` without use, or after `absolute_timeout`. A user has at most `max_sessions`
    sessions. A used refresh token still works for `refresh_grace`, because its client may not have received the
    response.
    """

    tokens: AccessTokenCodec
    keyring: Keyring
    refresh_tokens: RefreshTokenFactory
    cache: Cache
    roles: Mapping[str, frozenset[str]]
    idle_timeout: timedelta
    absolute_timeout: timedelta
    max_sessions: int
    refresh_grace: timedelta

    def expiry(self, created_at: datetime) -> datetime:
        """Return the expiry of a session that is used now."""
        return min(clock.now() + self.idle_timeout, created_at + self.absolute_timeout)

    def issue(self, db: Db, session: LiveSession, refresh_token: str, keep: Keep) -> TokenPair:
        """Return an access token for a session, with the refresh token that continues the session."""
        key = self._signing_key(db)
        user, authenticated_at = session.owner
        scope = " ".join(sorted(self.roles.get(user.role, ())))
        # The session's first request then needs no query.
        db.after_commit(partial(keep, "sessions", session.id.hex, session.owner))
        return TokenPair(
            access_token=self.tokens.encode(
                key, user.id, session.id, scope, session.expires_at, authenticated_at=authenticated_at
            ),
            expires_in=self.tokens.seconds_until(session.expires_at),
            refresh_token=refresh_token,
            refresh_expires_in=max(1, round((session.expires_at - clock.now()).total_seconds())),
            scope=scope,
        )

    def issue_for_service(
        self, db: Db, service_id: UUID, scopes: frozenset[str], *, grant_type: str, scope: str
    ) -> ServiceToken:
        """Return an access token for a service with these scopes, or only with those of `scope` if it has any.

        Raises UnsupportedGrantType, and InvalidScope if the service lacks a scope.
        """
        if grant_type != "client_credentials":
            raise UnsupportedGrantType()
        wanted = {*scope.split()} or scopes
        if not scopes.issuperset(wanted):
            raise InvalidScope()
        granted = " ".join(sorted(wanted))
        token = self.tokens.encode_for_service(self._signing_key(db), service_id, granted)
        events.record(db, "service_token_issued", service_id=service_id)
        return ServiceToken(token, self.tokens.lifetime, granted)

    def _signing_key(self, db: Db) -> SigningKey:
        keys = self.cache.find("signing_keys", "")
        if keys is None:
            keep = self.cache.begin_fill()
            keys = self.keyring.verifying(db)
            keep("signing_keys", "", keys)
        return self.keyring.active(keys) or self.keyring.signing(db)
