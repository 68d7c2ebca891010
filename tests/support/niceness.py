"""The priority of a thread, as the system sees it."""

import os
import threading


def niceness() -> int:
    """Return the niceness of this thread."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
