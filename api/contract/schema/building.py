"""Build functions for schemas that contain each other."""

from collections.abc import Callable
from threading import RLock

# Each level needs some calls inside each other, and Python allows 1,000.
_DEEPEST = 20


class Building:
    """Runs steps that need further steps: inside each other up to a depth, and the others afterwards.

    `lock` keeps other threads from using incomplete results.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._waiting: list[Callable[[], None]] = []
        self._depth = 0

    def run(self, step: Callable[[], None]) -> None:
        """Run a step now, or later if it is too deep. The lock must be held."""
        self._waiting.append(step)
        if self._depth == _DEEPEST:
            return
        self._depth += 1
        try:
            while self._waiting:
                self._waiting.pop()()
        finally:
            self._depth -= 1
