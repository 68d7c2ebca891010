"""The tables, one module each."""

from api.models.change import Change
from api.models.sealed_key import SealedKey
from api.models.session import RefreshToken, Session
from api.models.user import User

__all__ = ["Change", "RefreshToken", "SealedKey", "Session", "User"]
