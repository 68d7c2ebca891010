"""Short forms of the trials with two processes on one database. Each module also runs in a long form."""

import pytest

from api.config import Config
from tests.soak import refresh, rotation

pytestmark = pytest.mark.usefixtures("forked")


def test_20_refreshes_at_once_leave_one_live_successor(config: Config) -> None:
    outcome = refresh.trial(config, 5)
    assert outcome.holds, str(outcome)


def test_rotation_under_load_rejects_no_valid_token(config: Config) -> None:
    outcome = rotation.trial(config, rotations=5, rate=40)
    assert (outcome.requests, outcome.refreshes, outcome.refused) == (200, 20, {})
    assert len(outcome.keys) >= 4
