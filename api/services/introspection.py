"""Introspection (RFC 7662) and revocation (RFC 7009) of tokens and API keys."""

from contextlib import suppress
from typing import Any

from api.crypto import prefixed_secrets
from api.crypto.access_tokens import read_payload
from api.errors import InvalidRefreshToken, InvalidToken
from api.oauth_errors import UnsupportedTokenType
from api.services import api_keys, service_accounts, sessions
from api.services.authentication import Authenticator, Identity
from api.services.key_authentication import KeyHolder
from api.services.token_issuer import TokenIssuer
from api.storage.database import Db

_INACTIVE = {"active": False}
_SHOWN = ("client_id", "exp", "iat", "sub", "aud", "iss", "jti", "sid", "auth_time")


def introspect(authenticator: Authenticator, token: str) -> dict[str, Any]:
    """Return the facts of an access token or API key that is active, or only that the text is not active.

    The caches of requests answer, so a query is necessary only if the token or its user is new to this process.
    """
    try:
        if authenticator.keys.accepts(token):
            return _facts_of_key(authenticator.keys.inspect(token))
        caller = authenticator.inspect(token)
    except InvalidToken:
        return _INACTIVE
    payload = read_payload(token)
    # The effective scopes may be fewer than those of the token.
    facts = {"active": True, "token_type": "Bearer", "scope": " ".join(sorted(caller.scopes))}
    if isinstance(caller, Identity):
        facts["username"] = caller.user.username
    return facts | {name: payload[name] for name in _SHOWN if name in payload}


def _facts_of_key(holder: KeyHolder) -> dict[str, Any]:
    return {
        "active": True,
        "token_type": "Bearer",
        "scope": " ".join(sorted(holder.scopes)),
        "username": holder.user.username,
        "sub": str(holder.user_id),
        "jti": str(holder.key_id),
        "exp": int(holder.expires_at.timestamp()),
    }


def revoke(db: Db, authenticator: Authenticator, issuer: TokenIssuer, token: str) -> None:
    """End the session of an access token or a refresh token, or revoke an API key. Do nothing for any other text.

    Raises UnsupportedTokenType for a valid token of a service, which belongs to no session, and for a secret of one.
    """
    kind = prefixed_secrets.kind_of(token)
    if kind == api_keys.KIND:
        api_keys.revoke_by_key(db, token)
    if kind == service_accounts.KIND:
        raise UnsupportedTokenType()
    if kind is not None:
        return
    # Only access tokens have dots.
    if "." not in token:
        with suppress(InvalidRefreshToken):
            sessions.revoke_token(db, *sessions.owner_of_token(db, issuer, token))
        return
    try:
        claims = authenticator.verify(token)
    except InvalidToken:
        return
    if claims.session_id is None:
        raise UnsupportedTokenType()
    sessions.revoke_token(db, claims.subject, claims.session_id)
