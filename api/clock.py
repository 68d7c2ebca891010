"""The only source of the current time, and the only format of times."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time, aware and in UTC."""
    return datetime.now(UTC)


def rfc3339(time: datetime) -> str:
    """Format an aware time in UTC, to the millisecond, with a final Z (RFC 3339, section 5.6)."""
    return time.astimezone(UTC).isoformat("T", "milliseconds")[:-6] + "Z"
