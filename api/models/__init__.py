"""The tables, one module each."""

from api.models.api_key import ApiKey
from api.models.change import Change
from api.models.event import Event, EventOrigin, EventsPurge
from api.models.known_place import KnownPlace
from api.models.one_time_code import OneTimeCode
from api.models.outgoing_mail import OutgoingMail
from api.models.retired_name import RetiredName
from api.models.service import Service, ServiceSecret
from api.models.session import Session
from api.models.signing_key import StoredSigningKey
from api.models.user import User

__all__ = [
    "ApiKey",
    "Change",
    "Event",
    "EventOrigin",
    "EventsPurge",
    "KnownPlace",
    "OneTimeCode",
    "OutgoingMail",
    "RetiredName",
    "Service",
    "ServiceSecret",
    "Session",
    "StoredSigningKey",
    "User",
]
