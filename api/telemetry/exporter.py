"""The metrics of all processes, as an application for a port of their own, because only the operator may read them."""

# prometheus-client reads its folder from the environment when it is imported, so it is imported late.
# ruff: noqa: PLC0415

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING

from api.config.settings import export_env

if TYPE_CHECKING:
    from prometheus_client import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A PID that no process has, for the merged counters of dead processes.
_DEAD_PID = 0


@contextmanager
def exporting() -> "Iterator[Callable[[], ASGIApp]]":
    """Let this process and its children write their metrics to files.

    Yield a function that returns the application that serves them.
    """
    with TemporaryDirectory(prefix="charter-metrics-") as folder:
        export_env("PROMETHEUS_MULTIPROC_DIR", folder)
        yield lambda: _application(Path(folder))


def _application(folder: Path) -> "ASGIApp":
    """Return an application that serves `GET /metrics` only."""
    from prometheus_client import CollectorRegistry, make_asgi_app

    from api.contract import EdgeMiddleware
    from api.errors import MethodNotAllowed, NotFound

    registry = CollectorRegistry()
    registry.register(_MergedCollector(folder))
    metrics = make_asgi_app(registry)

    async def application(scope: "Scope", _: "Receive", send: "Send") -> None:
        if scope["path"] != "/metrics":
            raise NotFound()
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed(["GET", "HEAD"])
        # prometheus-client fails at a header that is not UTF-8.
        headers = [header for header in scope["headers"] if header[1].isascii()]
        await metrics({**scope, "headers": headers}, _no_body, send)

    return EdgeMiddleware(application)


async def _no_body() -> "Message":
    """Return an empty body, because the metrics do not wait for the body of a request."""
    return {"type": "http.request", "body": b"", "more_body": False}


class _MergedCollector:
    """A collector of the metrics of all processes, including killed ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = Lock()

    def collect(self) -> "list[Metric]":
        from prometheus_client.multiprocess import MultiProcessCollector

        with self._turn:
            self._merge_dead()
            files = [str(file) for file in self._folder.glob("*.db") if _is_begun(file)]
            return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]

    def _merge_dead(self) -> None:
        """Merge the counters of dead processes into one file and delete their gauges."""
        for file in self._folder.glob("*.db"):
            kind, _, pid = file.stem.rpartition("_")
            if int(pid) != _DEAD_PID and not _lives(int(pid)):
                if kind in {"counter", "histogram"} and _is_begun(file):
                    _add(file, file.with_stem(f"{kind}_{_DEAD_PID}"))
                file.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_begun(file: Path) -> bool:
    """Return True if the file has content. A process may have just created the file, or died before it wrote to it."""
    with suppress(FileNotFoundError):
        return file.stat().st_size > 0
    return False


def _add(file: Path, total: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    sums = MmapedDict(str(total))  # type: ignore[no-untyped-call]
    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
        sums.write_value(key, sums.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]
    sums.close()  # type: ignore[no-untyped-call]
