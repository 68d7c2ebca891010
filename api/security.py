"""From a credential to an Identity."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from api import logs
from api.contract.secure import Identify
from api.database import Database
from api.errors import InvalidToken
from api.keys import SigningKey
from api.memory import Memory
from api.services import sessions
from api.services.signing_keys import Keyring
from api.tokens import Tokens, key_id


@dataclass(frozen=True)
class Identity:
    """Who is calling."""

    user_id: UUID
    session_id: UUID
    scopes: frozenset[str]


def bearer(database: Database, tokens: Tokens, keyring: Keyring, memory: Memory) -> Identify:
    """What the contract's scheme `bearer` asks: who holds this token? Raises InvalidToken if nobody does."""

    def read_keys() -> dict[str, SigningKey]:
        with database.transaction() as db:
            return keyring.verifying(db)

    def read_owner(session_id: UUID) -> UUID | None:
        with database.transaction() as db:
            return sessions.find_owner(db, session_id)

    async def identify(token: str) -> Identity:
        # What has not even the form of a token is refused before anything is asked.
        signer = key_id(token)
        keys = await memory.get("signing_keys", "", read_keys)
        claims = tokens.decode(token, (keys or {}).get(signer))
        owner = await memory.get("sessions", claims.session_id.hex, partial(read_owner, claims.session_id))
        if owner is None or owner != claims.user_id:
            raise InvalidToken()
        logs.note(user_id=str(owner))
        return Identity(owner, claims.session_id, claims.scopes)

    return identify
