"""A short form of the trial in which one process ends a session and another one gets its token."""

import pytest

from api.config import Config
from tests.soak.revocation.environment import settled
from tests.soak.revocation.trial import trial


@pytest.mark.parametrize("cut", [False, True])
def test_two_processes_reject_tokens_after_log_out(config: Config, cut: bool) -> None:
    with settled(config, 30) as place:
        assert trial(place, cut=cut).refused == 30
