"""Types of the fixtures that are functions."""

from collections.abc import Callable
from datetime import timedelta

Events = Callable[[], list[tuple[str, dict[str, str]]]]


Travel = Callable[[timedelta], None]
