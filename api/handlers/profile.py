"""The user behind the token."""

from api.contract import nonblocking
from api.services.authentication import Identity


@nonblocking
def get_profile(identity: Identity) -> object:
    return identity.user
