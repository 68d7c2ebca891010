"""The profile of the calling user."""

from api.contract import nonblocking
from api.services.authentication import Identity


@nonblocking
def get_profile(identity: Identity) -> object:
    return identity.user
