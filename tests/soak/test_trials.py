"""Trials of two processes on one database, in short; each module has a long form."""

import pytest

from api.config import Config
from tests.soak import refresh, rotation
from tests.soak.revocation.environment import settled
from tests.soak.revocation.trial import trial


def test_20_refreshes_at_once_with_one_token_leave_one_way_on(config: Config) -> None:
    outcome = refresh.trial(config, 5)
    assert outcome.holds, str(outcome)


def test_rotation_under_load_refuses_no_valid_token(config: Config) -> None:
    outcome = rotation.trial(config, rotations=5, rate=40)
    assert (outcome.requests, outcome.refreshes, outcome.refused) == (200, 20, {})
    assert len(outcome.keys) >= 4


@pytest.mark.parametrize("cut", [False, True])
def test_two_processes_refuse_what_was_logged_out(config: Config, cut: bool) -> None:
    with settled(config, 30) as place:
        assert trial(place, cut=cut).refused == 30
