"""Run the tests faster: order and distribution, temporary files in memory, less garbage collection."""

import atexit
import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Distributes single tests, and all tests of a module or function in `TOGETHER` to the same worker process.

    The mark `xdist_group` of pytest-xdist 3.8 has no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        scopes = nodeid.partition("::")[0], nodeid.partition("[")[0]
        return next((scope for scope in scopes if scope.endswith(TOGETHER)), nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Assign more tests to the process, and remove its finished ones. Each call counts all that are assigned."""
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]

    def remove_node(self, node: Any) -> str | None:
        """Return the test that ended its worker process, and queue the tests after it again.

        The method of pytest-xdist 3.8 also queues this test and finished ones. The first would end the next process,
        and the others would let it wait forever.
        """
        work = self.assigned_work.pop(node)
        waiting = [name for unit in work.values() for name, is_done in unit.items() if not is_done]
        for name in waiting[1:]:
            self.workqueue.setdefault(self._split_scope(name), {})[name] = False
        for other in self.assigned_work:
            self._reschedule(other)
        return waiting[0] if waiting else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


TOGETHER = (
    "tests/repo/test_architecture.py",
    "tests/repo/test_clients.py",
    "tests/repo/test_sizes.py",
    "test_openapi_generator_makes_a_client_with_our_names",
)
"""The modules and functions whose tests share expensive results."""

LONGEST = ("test_schemathesis.py", "test_the_example_of_an_operation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that the workers finish at about the same time."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary files in memory if possible: the tests need no durability, and disks are slow."""
    if hasattr(config, "workerinput"):
        # The function that is registered first is called last.
        atexit.register(_exit_at_once)
    _collect_less()
    memory = Path("/dev/shm")  # noqa: S108 - the names of the files in it are random
    if memory.is_dir() and "TMPDIR" not in os.environ and _is_roomy(memory):
        tempfile.tempdir = str(memory)


def _exit_at_once() -> None:
    """End a worker process, whose results are sent. The interpreter would also delete each object: 3 seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _is_roomy(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize > ROOM and not found.f_flag & os.ST_NOEXEC


ROOM = 4 * 2**30
"""The free space that the tests require, in bytes. All of them together write less."""


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collection, too."""
    gc.collect()
    _collect_less()


def _collect_less() -> None:
    """Exclude the imported modules from garbage collection, and collect less often. This saves 10 % of the time."""
    gc.freeze()
    gc.set_threshold(200_000)
