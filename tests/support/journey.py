"""Use every operation through the generated Python client, and print the results as one line of JSON."""

import json

from charter_client import AuthenticatedClient, Client
from charter_client.api.auth import log_in, log_out, refresh_tokens, sign_up
from charter_client.api.passwords import change_password
from charter_client.api.profile import get_profile
from charter_client.api.sessions import list_sessions, revoke_session
from charter_client.api.system import get_signing_keys, protected
from charter_client.models import (
    Credentials,
    JsonWebKeySet,
    KeyAlgorithm,
    NewUser,
    PasswordChange,
    Problem,
    RefreshToken,
    SessionPage,
    TokenCheck,
    TokenPair,
    TokenType,
    User,
)

URL = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "a better battery for this horse"

stranger = Client(URL, raise_on_unexpected_status=True)

user = sign_up.sync(client=stranger, body=NewUser("alice", "alice@example.com", PASSWORD))
assert isinstance(user, User)

refused = sign_up.sync(client=stranger, body=NewUser("bob", "bob@example.com", "hunter2"))
assert isinstance(refused, Problem)
faults = refused.errors or []


def logged_in(password: str) -> TokenPair:
    granted = log_in.sync(client=stranger, body=Credentials("alice@example.com", password))
    assert isinstance(granted, TokenPair)
    return granted


def with_tokens(granted: TokenPair) -> AuthenticatedClient:
    assert granted.token_type == TokenType.BEARER
    return AuthenticatedClient(URL, granted.access_token, raise_on_unexpected_status=True)


granted = logged_in(PASSWORD)
refreshed = refresh_tokens.sync(client=stranger, body=RefreshToken(granted.refresh_token))
assert isinstance(refreshed, TokenPair)
alice, elsewhere = with_tokens(refreshed), with_tokens(logged_in(PASSWORD))

profile = get_profile.sync(client=alice)
assert isinstance(profile, User)
checked = protected.sync(client=elsewhere)
assert isinstance(checked, TokenCheck)
keys = get_signing_keys.sync(client=stranger)
assert isinstance(keys, JsonWebKeySet)

first = list_sessions.sync(client=alice, limit=1)
assert isinstance(first, SessionPage)
assert first.next_cursor is not None
second = list_sessions.sync(client=alice, limit=1, cursor=first.next_cursor)
assert isinstance(second, SessionPage)
sessions = first.items + second.items

revoked = revoke_session.sync_detailed(first.items[0].id, client=alice)
shut_out = protected.sync(client=elsewhere)
assert isinstance(shut_out, Problem)

changed = change_password.sync_detailed(client=alice, body=PasswordChange(PASSWORD, NEW_PASSWORD))
logged_out = log_out.sync_detailed(client=alice)
afterwards = get_profile.sync(client=alice)
assert isinstance(afterwards, Problem)
too_late = refresh_tokens.sync(client=stranger, body=RefreshToken(refreshed.refresh_token))
assert isinstance(too_late, Problem)
again = logged_in(NEW_PASSWORD)

guessed = [Credentials(f"user{number}", "a wrong password") for number in range(18)]
*guesses, limited = [log_in.sync_detailed(client=stranger, body=credentials) for credentials in guessed]
assert isinstance(limited.parsed, Problem)
names = ("Retry-After", "RateLimit", "RateLimit-Policy")

seen = {
    "signUp": [user.username, user.email],
    "refused": [refused.status, refused.code, [[fault.pointer, fault.code] for fault in faults]],
    "logIn": [granted.expires_in, granted.scope],
    "refreshTokens": [refreshed.refresh_token != granted.refresh_token, refreshed.refresh_expires_in],
    "profile": [profile.id == user.id, profile.username, profile.created_at.utcoffset() is not None],
    "protected": checked.message,
    "keys": [[key.kty, key.crv] for key in keys.keys if key.alg == KeyAlgorithm.ES256],
    "sessions": [[session.current, session.ip_address] for session in sessions],
    "lastPage": second.next_cursor,
    "revokeSession": [revoked.status_code, shut_out.code],
    "changePassword": [changed.status_code, again.expires_in],
    "logOut": logged_out.status_code,
    "afterwards": [afterwards.status, afterwards.code, too_late.code],
    "guesses": [guess.status_code for guess in guesses],
    "limited": [limited.parsed.status, limited.parsed.code, *(limited.headers[name] for name in names)],
}
print(json.dumps(seen))
