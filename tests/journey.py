"""A whole journey with the generated Python client; prints what was seen as one line of JSON."""

import json

from charter_client import AuthenticatedClient, Client
from charter_client.api.auth import log_in, log_out, sign_up
from charter_client.api.profile import get_profile
from charter_client.api.system import protected
from charter_client.models import AccessToken, Credentials, NewUser, Problem, TokenCheck, TokenType, User

URL = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery staple"

stranger = Client(URL, raise_on_unexpected_status=True)

user = sign_up.sync(client=stranger, body=NewUser("alice", "alice@example.com", PASSWORD))
assert isinstance(user, User)

refused = sign_up.sync(client=stranger, body=NewUser("bob", "bob@example.com", "hunter2"))
assert isinstance(refused, Problem)
faults = refused.errors or []

granted = log_in.sync(client=stranger, body=Credentials(user.email, PASSWORD))
assert isinstance(granted, AccessToken)
assert granted.token_type == TokenType.BEARER
alice = AuthenticatedClient(URL, granted.access_token, raise_on_unexpected_status=True)

profile = get_profile.sync(client=alice)
assert isinstance(profile, User)
checked = protected.sync(client=alice)
assert isinstance(checked, TokenCheck)

logged_out = log_out.sync_detailed(client=alice)
afterwards = get_profile.sync(client=alice)
assert isinstance(afterwards, Problem)

seen = {
    "signUp": [user.username, user.email],
    "refused": [refused.status, refused.code, [[fault.pointer, fault.code] for fault in faults]],
    "logIn": granted.expires_in,
    "profile": [profile.id == user.id, profile.username, profile.created_at.utcoffset() is not None],
    "protected": checked.message,
    "logOut": logged_out.status_code,
    "afterwards": [afterwards.status, afterwards.code],
}
print(json.dumps(seen))
