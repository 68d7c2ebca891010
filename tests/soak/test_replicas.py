"""Replicas behind the proxy of `compose.yaml`, replaced one after the other."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import sleep

import httpx

from api.config import Config
from tests.repo.test_containers import COMPOSE
from tests.support.caddy import caddy
from tests.support.charter import Charter, beside, free_port, is_ready, until
from tests.support.databases import on_postgresql
from tests.support.paths import CHECKOUT
from tests.support.person import newcomer


@contextmanager
def proxied(tmp_path: Path, ports: list[int]) -> Iterator[str]:
    """Run the proxy in front of replicas on these ports."""
    port = free_port()
    text = (CHECKOUT / "deploy/Caddyfile").read_text().replace(":8000 {", f"http://127.0.0.1:{port} {{", 1)
    for number, replica in enumerate(ports, 1):
        text = text.replace(f"charter-{number}:8000", f"127.0.0.1:{replica}")
    with caddy(tmp_path, text):
        yield f"http://127.0.0.1:{port}"


@on_postgresql
def test_replacing_replicas_behind_the_proxy_fails_no_request(config: Config, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    installed = beside(config)
    drain = {"CHARTER_DRAIN_SECONDS": COMPOSE["services"]["charter-1"]["environment"]["CHARTER_DRAIN_SECONDS"]}
    replicas = [
        Charter(tmp_path / str(port), installed.settings | {"CHARTER_PORT": str(port)} | drain) for port in ports
    ]
    for replica in replicas:
        replica.folder.mkdir()
    with ExitStack() as stack:
        servers = [stack.enter_context(replica.serving()) for replica in replicas]
        url = stack.enter_context(proxied(tmp_path, ports))
        until(lambda: is_ready(url))
        alice = newcomer(stack.enter_context(httpx.Client(base_url=url, timeout=30)), "alice")
        over, statuses = Event(), list[int]()

        def ask() -> None:
            while not over.is_set():
                statuses.append(alice.get("/api/v1/me").status_code)
                statuses.append(alice.refresh().status_code)

        asking = Thread(target=ask)
        asking.start()
        for number, replica in enumerate(replicas):
            assert servers[number].stop(signal.SIGTERM) == 0
            stack.enter_context(replica.serving())
            until(partial(is_ready, f"http://127.0.0.1:{ports[number]}"))
            # The proxy probes the replicas once a second.
            sleep(2)
        over.set()
        asking.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}
