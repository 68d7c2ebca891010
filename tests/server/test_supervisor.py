"""The start of several workers on one socket. Other tests of the supervisor are in tests/soak."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.charter import SECRETS, Charter, Server, fork_servers, is_ready, serves, until, workers
from tests.support.paths import CHECKOUT
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def charter(tmp_path: Path, migrated_file: Path) -> Charter:
    """An installation with a migrated database."""
    shutil.copy(migrated_file, tmp_path / "charter.db")
    return Charter(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path}/charter.db"} | SECRETS)


def test_a_worker_that_cannot_start_stops_the_service(charter: Charter) -> None:
    for name in ("api", "migrations", "openapi"):
        shutil.copytree(CHECKOUT / name, charter.folder / name)
    (charter.folder / "api/handlers/profile.py").write_text("")
    charter.settings |= {"PYTHONPATH": str(charter.folder), "CHARTER_WORKERS": "2"}
    result = charter.run("serve")
    *log, last = result.stderr.splitlines()
    assert (result.returncode, last) == (1, "Error: a worker cannot start; see the log for the reason")
    assert any("api/handlers/profile.py has no function get_profile" in line for line in log)


def test_a_temporary_folder_with_a_long_path_is_reported(charter: Charter) -> None:
    folder = charter.folder / ("long" * 20)
    folder.mkdir()
    charter.settings |= {"TMPDIR": str(folder), "CHARTER_WORKERS": "2"}
    result = charter.run("serve")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: a worker cannot start: AF_UNIX path too long.")
    assert "set TMPDIR" in result.stderr


def test_workers_import_no_module_of_the_current_folder(charter: Charter) -> None:
    (charter.folder / "api.py").write_text("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    with two_workers(charter) as server:
        assert server.stop() == 0


def test_workers_share_the_cores_for_hashing(charter: Charter) -> None:
    cores = len(os.sched_getaffinity(0))
    for count, hashes in (("1", cores), ("2", max(1, cores // 2)), ("256", 1)):
        charter.settings["CHARTER_WORKERS"] = count
        assert f"CHARTER_HASHES={hashes}\n" in charter.run("check-config").stdout


def serving_workers(server: Server) -> set[int]:
    return {worker for worker in workers(server) if serves(worker)}


@contextmanager
def two_workers(charter: Charter) -> Iterator[Server]:
    """Run a service until the block ends, once both of its workers serve."""
    with charter.serving("--workers", "2") as server:
        until(lambda: len(serving_workers(server)) == 2)
        yield server


def has_exited(server: Server) -> bool:
    try:
        server.process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_sigterm_does_not_wait_for_a_replacement_of_the_workers(charter: Charter) -> None:
    # With this drain period, the first worker that SIGHUP replaces outlasts the patience of the test.
    charter.settings["CHARTER_DRAIN_SECONDS"] = "300"
    with two_workers(charter) as server:
        before = serving_workers(server)
        for _ in range(20):
            server.process.send_signal(signal.SIGHUP)
        until(lambda: serving_workers(server) - before)

        def stops() -> bool:
            # The second SIGTERM ends the drain period.
            server.process.send_signal(signal.SIGTERM)
            return has_exited(server)

        until(stops)


def test_sighups_during_a_replacement_are_merged(charter: Charter) -> None:
    with two_workers(charter) as server:
        before = serving_workers(server)
        seen = set(before)
        for _ in range(20):
            server.process.send_signal(signal.SIGHUP)

        def are_replaced() -> bool:
            now = set(workers(server))
            seen.update(now)
            return len(now) == 2 and not now & before

        until(are_replaced)
        assert is_ready(server.url)
        assert server.stop() == 0
    # The signals may arrive in two turns of the supervisor, which then replaces one worker twice.
    assert 2 <= len(seen - before) <= 3


def test_a_sighup_for_the_process_group_does_not_kill_workers(charter: Charter) -> None:
    with two_workers(charter) as server:
        before = serving_workers(server)
        for worker in before:
            os.kill(worker, signal.SIGHUP)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(now := set(workers(server))) == 2 and not now & before)
        assert server.stop() == 0
    assert "worker_died" not in server.log.read_text()


def test_workers_share_the_memory_of_their_modules(charter: Charter) -> None:
    with two_workers(charter) as server:
        memory = [_kilobytes(worker) for worker in workers(server)]
        assert server.stop() == 0
    # The modules take about 35 MB.
    assert all(kilobytes["Shared_Dirty"] > 20_000 for kilobytes in memory), memory


def _kilobytes(process: int) -> dict[str, int]:
    _, *lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return {name: int(amount) for name, amount, _ in (line.replace(":", "").split() for line in lines)}


def test_sigterm_for_the_process_group_lets_workers_finish(charter: Charter) -> None:
    charter.settings["CHARTER_DRAIN_SECONDS"] = "2"
    with two_workers(charter) as server:
        (fork_server,) = fork_servers(server)
        os.kill(fork_server, signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        # The workers still serve, because the service drains.
        assert httpx.get(f"{server.url}/ping").status_code == 200
        assert len(workers(server)) == 2
        assert server.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert "worker_died" not in server.log.read_text()


def test_the_workers_of_a_killed_fork_server_are_replaced(charter: Charter) -> None:
    with two_workers(charter) as server:
        before = serving_workers(server)
        (fork_server,) = fork_servers(server)
        os.kill(fork_server, signal.SIGKILL)
        until(lambda: len(serving_workers(server) - before) == 2 and is_ready(server.url))
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in before))
        assert server.stop() == 0
    assert server.log.read_text().count("worker_died") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_workers_start_stops_the_service(charter: Charter, number: signal.Signals) -> None:
    # A worker that misses the signal serves until the supervisor kills it.
    for _ in range(3):
        with charter.serving("--workers", "3") as server:
            until(lambda: workers(server))
            # A terminal sends SIGINT to all processes.
            others = [*fork_servers(server), *workers(server)] if number == signal.SIGINT else []
            for process in (server.process.pid, *others):
                os.kill(process, number)
            assert server.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert "worker_killed" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_a_worker_without_file_descriptors_starts_later(charter: Charter) -> None:
    with two_workers(charter) as server:
        with without_replacement(server):
            assert "Too many open files" in server.log.read_text()
            assert "TMPDIR" not in server.log.read_text()
        until(lambda: len(serving_workers(server)) == 2)
        assert server.stop() == 0


def test_a_service_that_cannot_replace_a_worker_stops_on_sigterm(charter: Charter) -> None:
    with two_workers(charter) as server, without_replacement(server):
        assert server.stop() == 0


@contextmanager
def without_replacement(server: Server) -> Iterator[None]:
    """Kill a worker while the supervisor can open no file, until it has failed to start another one."""
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    # All lower numbers are in use.
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (5, limits[1]))
    try:
        os.kill(workers(server)[0], signal.SIGKILL)
        until(lambda: "worker_not_started" in server.log.read_text())
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)


def descriptors(server: Server) -> list[Path]:
    return [*Path(f"/proc/{server.process.pid}/fd").iterdir()]


def test_a_fork_server_that_dies_while_a_worker_starts_is_replaced(charter: Charter) -> None:
    with two_workers(charter) as server:
        before = serving_workers(server)
        (fork_server,) = fork_servers(server)
        os.kill(fork_server, signal.SIGSTOP)
        count = len(descriptors(server))
        server.process.send_signal(signal.SIGHUP)
        seen: list[int] = []

        def waits_for_fork_server() -> bool:
            seen.append(len(descriptors(server)))
            # A worker first opens two, and the start opens others. Their number is stable once the supervisor waits.
            return seen[-1] > count + 2 and seen[-25:] == [seen[-1]] * 25

        until(waits_for_fork_server)
        os.kill(fork_server, signal.SIGKILL)
        until(lambda: len(serving_workers(server) - before) == 2 and is_ready(server.url))
        assert server.stop() == 0
    assert "the fork server has ended" in server.log.read_text()
