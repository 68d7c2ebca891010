"""The fork server of the tests: its processes behave like those that the operating system starts."""

import re
import signal
import subprocess

import httpx
import pytest

from tests.support import charter as support
from tests.support.charter import Charter

COMMANDS = ["migrate", "check-config", "doctor", "keys list", "openapi", "users disable unknown", "serve --workers 0"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_forked_command_has_the_results_of_a_started_one(
    migrated: Charter, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    migrated.run("migrate").check_returncode()
    forked = outcome(migrated, command)
    monkeypatch.setattr(support, "start", subprocess.Popen)
    assert forked == outcome(migrated, command)


def outcome(charter: Charter, command: str) -> tuple[int, str, str]:
    result = charter.run(*command.split())
    assert result.stdout or result.stderr
    # The speed of a hash and the free space of the disk differ between two runs.
    return result.returncode, re.sub("[0-9.]+", "N", result.stdout), result.stderr


def test_a_forked_server_ends_like_a_started_one(migrated: Charter, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for _ in range(2):
        for number in (signal.SIGINT, signal.SIGKILL):
            with migrated.serving() as server:
                outcomes.append((httpx.get(f"{server.url}/ping").status_code, server.stop(number)))
        monkeypatch.setattr(support, "start", subprocess.Popen)
    assert outcomes == [(200, 0), (200, -signal.SIGKILL)] * 2


def test_a_forked_command_that_runs_too_long_is_reported(migrated: Charter) -> None:
    with migrated.serving() as server, pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(timeout=0.1)
