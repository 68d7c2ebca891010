"""Serves the figures of all processes, on a port of its own: they are nobody's business but the operator's."""

# What it is told before its import decides where prometheus-client keeps figures.
# ruff: noqa: PLC0415

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING

from api.config import hand_on

if TYPE_CHECKING:
    from prometheus_client import Metric

# No process has the number 0: these are the counts of those that died.
_OF_THE_DEAD = 0


@contextmanager
def exported(host: str, port: int) -> Iterator[None]:
    """Serve what this process and its children count from now on; raises OSError when it cannot listen there."""
    with TemporaryDirectory(prefix="charter-metrics-") as folder:
        hand_on("PROMETHEUS_MULTIPROC_DIR", folder)
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        registry.register(_Merged(Path(folder)))
        server, thread = start_http_server(port, host, registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Merged:
    """The figures of all processes, those that died without a word included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = Lock()

    def collect(self) -> "list[Metric]":
        from prometheus_client.multiprocess import MultiProcessCollector

        with self._turn:
            self._bury()
            files = [str(file) for file in self._folder.glob("*.db") if _is_begun(file)]
            return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]

    def _bury(self) -> None:
        """Keep what the dead have counted, in one file for all, and forget what they were doing."""
        for file in self._folder.glob("*.db"):
            kind, _, pid = file.stem.rpartition("_")
            if int(pid) != _OF_THE_DEAD and not _lives(int(pid)):
                if kind in {"counter", "histogram"} and _is_begun(file):
                    _add(file, file.with_stem(f"{kind}_{_OF_THE_DEAD}"))
                file.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_begun(file: Path) -> bool:
    """Whether its process, which has just made it or died in that moment, has given it a size."""
    with suppress(FileNotFoundError):
        return file.stat().st_size > 0
    return False


def _add(file: Path, total: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    sums = MmapedDict(str(total))  # type: ignore[no-untyped-call]
    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
        sums.write_value(key, sums.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]
    sums.close()  # type: ignore[no-untyped-call]
