"""The profile of the calling user, and the export of the user's data."""

from datetime import timedelta
from typing import Any

from api.contract import nonblocking
from api.services import data_export, profiles
from api.services.authentication import Caller, Identity
from api.storage.database import Db


@nonblocking
def get_profile(identity: Caller) -> object:
    return identity.user


def update_profile(db: Db, name_stay: timedelta, identity: Identity, body: dict[str, Any]) -> object:
    return profiles.change(db, identity.user_id, body, name_stay)


def export_data(db: Db, identity: Identity) -> tuple[object, dict[str, str]]:
    headers = {"Content-Disposition": 'attachment; filename="charter-export.json"'}
    return data_export.export(db, identity.user), headers
