"""The one door to the time, and the one form in which it is written."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present, aware and in UTC."""
    return datetime.now(UTC)


def rfc3339(time: datetime) -> str:
    """An aware time in UTC, to the millisecond, ending in Z (RFC 3339, section 5.6)."""
    return time.astimezone(UTC).isoformat("T", "milliseconds")[:-6] + "Z"
