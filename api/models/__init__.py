"""The tables, one module for each subject."""

from api.models.api_key import api_keys
from api.models.change import changes
from api.models.event import event_origins, events, events_purge
from api.models.known_place import known_places
from api.models.one_time_code import codes
from api.models.outgoing_mail import outbox
from api.models.retired_name import retired_names
from api.models.service import service_secrets, services
from api.models.session import sessions
from api.models.signing_key import signing_keys
from api.models.user import users
from api.storage.database import METADATA

__all__ = [
    "METADATA",
    "api_keys",
    "changes",
    "codes",
    "event_origins",
    "events",
    "events_purge",
    "known_places",
    "outbox",
    "retired_names",
    "service_secrets",
    "services",
    "sessions",
    "signing_keys",
    "users",
]
