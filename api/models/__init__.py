"""The tables, one module each."""

from api.models.change import Change
from api.models.session import Session
from api.models.signing_key import StoredSigningKey
from api.models.user import User

__all__ = ["Change", "Session", "StoredSigningKey", "User"]
