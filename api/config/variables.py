"""Names of environment variables: unknown settings, and the variables that Kubernetes adds."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

_PREFIX = "CHARTER_"
# Kubernetes adds such variables for each Service whose name is `charter` or begins with `charter-`.
_SERVICE_LINK = re.compile(
    r"CHARTER_(?:SERVICE|PORT)_\w*|CHARTER_\w+_(?:SERVICE_(?:HOST|PORT\w*)|PORT_[0-9]+_(?:TCP|UDP|SCTP)\w*)"
)
_SERVICE_URL = re.compile(r"(?:tcp|udp|sctp)://")


def without_service_links(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those that describe a Service of Kubernetes, such as CHARTER_PORT=tcp://..."""
    return {name: text for name, text in environ.items() if not _is_service_link(name, text)}


def _is_service_link(name: str, text: str) -> bool:
    if not name.startswith(_PREFIX):
        return False
    return bool(_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_URL.match(text)))


def misspelt(given: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Return the unknown names that resemble a setting, each with that setting.

    A typing error would otherwise leave the default in place.
    """
    names = {name.removeprefix(_PREFIX): name for name in known}
    nearest = {name: get_close_matches(name.removeprefix(_PREFIX), names, 1) for name in _unknown(given, known)}
    return {name: names[near[0]] for name, near in nearest.items() if near}


def unused(given: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Return the unknown names that resemble no setting."""
    wrong = misspelt(given, known)
    return [name for name in _unknown(given, known) if name not in wrong]


def _unknown(given: Mapping[str, str], known: Collection[str]) -> list[str]:
    return [name for name in given if name.startswith(_PREFIX) and name not in known]
