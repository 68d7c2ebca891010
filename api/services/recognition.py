"""Recognition of the client of a log-in, by its device token or its place. An unknown one causes a notice."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from api.crypto.device_tokens import DeviceTokenCodec
from api.crypto.place_digests import PlaceDigests
from api.models.user import UserRow
from api.services import known_places, names, notices
from api.services.outbox import Outbox
from api.storage.database import Db


class Visitor(NamedTuple):
    """The client of a log-in."""

    address: str
    user_agent: str
    device_token: str | None


class Recognition(NamedTuple):
    """Recognizes clients, and sends notices about others."""

    devices: DeviceTokenCodec
    places: PlaceDigests
    outbox: Outbox

    def make_device_token(self, user: UserRow) -> str:
        """Return a token for the client of a log-in."""
        return self.devices.make(_names(user))

    def record(self, db: Db, user: UserRow, visitor: Visitor, place: bytes | None, seen_at: datetime | None) -> None:
        """Record a log-in from a place, which was seen before at `seen_at`. Send a notice if the client is unknown.

        The transaction must have started the session, which locks the user.
        """
        if place is None:
            return
        if seen_at is not None:
            known_places.refresh(db, user.id, place, seen_at)
            return
        known_places.add(db, user.id, place)
        if user.email_verified_at is None or self._knows_device(visitor.device_token, _names(user)):
            return
        if known_places.begin_notice(db, user.id, place):
            notices.new_log_in(db, self.outbox, user, visitor.address, visitor.user_agent)

    def _knows_device(self, token: str | None, known_by: Iterable[str]) -> bool:
        return token is not None and any(self.devices.device_of(token, name) for name in known_by)


def _names(user: UserRow) -> tuple[str, str]:
    return names.login_key(user.username), names.login_key(user.email)
