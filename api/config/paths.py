"""Find the folders of data files that the package needs."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def resource_dir(name: str) -> Path:
    """Return the resource directory `name`: inside the package in a wheel, beside the package in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
