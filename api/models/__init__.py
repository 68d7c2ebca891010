"""The tables, one module each."""

from api.models.revocation import Revocation
from api.models.user import User

__all__ = ["Revocation", "User"]
