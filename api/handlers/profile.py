"""The user behind the token."""

from api.database import Db
from api.security import Identity
from api.services import users


def get_profile(db: Db, identity: Identity) -> object:
    return users.find(db, identity.user_id)
