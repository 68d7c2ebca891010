"""A check of each audit event that a test writes: its operation must declare the event in `x-event`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api import logs
from api.services import events
from api.storage.database import Db
from tests.support import own
from tests.support.shipped import CONTRACT

EVENTS = {operation.id: {*operation.events} for operation in CONTRACT.operations()}
"""The events that each operation declares."""
OF_CHARTER = {each.id: EVENTS[each.id] for each in CONTRACT.operations() if each.tag not in own.TAGS}
"""The events that each operation of Charter declares, without those of your own operations."""
NAMES = {*CONTRACT.document["x-events"]}


@contextmanager
def declared_events() -> Iterator[None]:
    """Let each event fail that its operation does not declare, and each of a command that the contract lacks."""
    add = events.add

    def check(db: Db, name: str, **facts: Any) -> None:
        operation = logs.cause.get().operation
        declared = NAMES if operation is None else EVENTS[operation]
        if name not in declared:
            raise AssertionError(f"{operation} needs the event {name} in x-event")
        add(db, name, **facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "add", check)
        yield
